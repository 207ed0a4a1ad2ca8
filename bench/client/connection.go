package main

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httputil"
	"net/url"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	dialTimeout = 10 * time.Second
	// A server that sends nothing for so long has failed.
	idleTimeout = 60 * time.Second
	bufferBytes = 256 << 10
)

// connection is one HTTP/1.1 connection, one request at a time.
type connection struct {
	stream  io.ReadWriteCloser
	host    string
	buffer  []byte
	pending []byte // read, and not yet consumed; a view of buffer
}

// answer is the head of a response.
type answer struct {
	status  int
	length  int64 // -1 when the body is chunked
	headers map[string]string
}

// plainStream reads a blocking descriptor: the runtime's poller would cost two more system calls for each read.
type plainStream struct{ file *os.File }

func (s plainStream) Read(p []byte) (int, error) {
	for {
		n, err := syscall.Read(int(s.file.Fd()), p)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return 0, err
		}
		if n == 0 {
			return 0, io.EOF
		}
		return n, nil
	}
}

func (s plainStream) Write(p []byte) (int, error) { return s.file.Write(p) }
func (s plainStream) Close() error                { return s.file.Close() }

// dial connects to the server of a URL. receiveBytes bounds the socket's receive buffer when it is not 0.
func dial(target *url.URL, receiveBytes int) (*connection, error) {
	raw, err := net.DialTimeout("tcp", target.Host, dialTimeout)
	if err != nil {
		return nil, err
	}
	tcp := raw.(*net.TCPConn)
	if receiveBytes > 0 {
		if err := tcp.SetReadBuffer(receiveBytes); err != nil {
			return nil, err
		}
	}
	c := &connection{host: target.Host, buffer: make([]byte, bufferBytes)}
	if target.Scheme == "https" {
		// Bytes are checked by their hash; which certificate vouches for them is not the question here.
		c.stream = tls.Client(tcp, &tls.Config{InsecureSkipVerify: true})
		return c, nil
	}
	file, err := tcp.File()
	tcp.Close()
	if err != nil {
		return nil, err
	}
	timeout := syscall.NsecToTimeval(idleTimeout.Nanoseconds())
	if err := syscall.SetsockoptTimeval(int(file.Fd()), syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &timeout); err != nil {
		return nil, err
	}
	c.stream = plainStream{file}
	return c, nil
}

func (c *connection) close() { c.stream.Close() }

// ask sends a GET and reads the head of the answer.
func (c *connection) ask(path, rangeHeader string) (answer, error) {
	request := "GET " + path + " HTTP/1.1\r\nHost: " + c.host + "\r\nAccept: " + manifestTypes + "\r\n"
	if rangeHeader != "" {
		request += "Range: " + rangeHeader + "\r\n"
	}
	if _, err := io.WriteString(c.stream, request+"\r\n"); err != nil {
		return answer{}, err
	}
	return c.head()
}

const manifestTypes = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, */*"

func (c *connection) head() (answer, error) {
	have := copy(c.buffer, c.pending)
	for {
		if end := bytes.Index(c.buffer[:have], []byte("\r\n\r\n")); end >= 0 {
			c.pending = c.buffer[end+4 : have]
			return parseHead(string(c.buffer[:end]))
		}
		if have == len(c.buffer) {
			return answer{}, errors.New("the head is too long")
		}
		n, err := c.stream.Read(c.buffer[have:])
		if err != nil {
			return answer{}, fmt.Errorf("no answer: %w", err)
		}
		have += n
	}
}

func parseHead(text string) (answer, error) {
	lines := strings.Split(text, "\r\n")
	parts := strings.SplitN(lines[0], " ", 3)
	if len(parts) < 2 {
		return answer{}, fmt.Errorf("no status in %q", lines[0])
	}
	status, err := strconv.Atoi(parts[1])
	if err != nil {
		return answer{}, err
	}
	a := answer{status: status, headers: map[string]string{}}
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ":")
		a.headers[strings.ToLower(name)] = strings.TrimSpace(value)
	}
	if strings.EqualFold(a.headers["transfer-encoding"], "chunked") {
		a.length = -1
		return a, nil
	}
	a.length, err = strconv.ParseInt(a.headers["content-length"], 10, 64)
	return a, err
}

// errStop is what a sink answers to leave the rest of a body unread; the connection is useless then.
var errStop = errors.New("stopped")

// body hands the body to sink, piece by piece. The pieces are views of one buffer.
func (c *connection) body(a answer, sink func([]byte) error) error {
	if a.length < 0 {
		return c.chunked(sink)
	}
	left := a.length
	for left > 0 {
		piece := c.pending
		if len(piece) == 0 {
			n, err := c.stream.Read(c.buffer)
			if err != nil {
				return fmt.Errorf("%d bytes before the end: %w", left, err)
			}
			piece = c.buffer[:n]
		}
		if int64(len(piece)) > left {
			c.pending = piece[left:]
			piece = piece[:left]
		} else {
			c.pending = nil
		}
		left -= int64(len(piece))
		if err := sink(piece); err != nil {
			return err
		}
	}
	return nil
}

func (c *connection) chunked(sink func([]byte) error) error {
	source := httputil.NewChunkedReader(io.MultiReader(bytes.NewReader(bytes.Clone(c.pending)), c.stream))
	c.pending = nil
	for {
		n, err := source.Read(c.buffer)
		if n > 0 {
			if failure := sink(c.buffer[:n]); failure != nil {
				return failure
			}
		}
		if err == io.EOF {
			return errStop // the trailer is unread
		}
		if err != nil {
			return err
		}
	}
}
