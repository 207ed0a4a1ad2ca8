package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"hash"
	"io"
	"net/url"
	"strings"
	"sync"
	"time"
)

// download is what became of one connection.
type download struct {
	Status       int     `json:"status"`
	Bytes        int64   `json:"bytes"`
	SHA256       string  `json:"sha256,omitempty"`
	FirstByteSec float64 `json:"firstByteSeconds"`
	Seconds      float64 `json:"seconds"`
	Error        string  `json:"error,omitempty"`
}

type getReport struct {
	Seconds   float64    `json:"seconds"`
	Bytes     int64      `json:"bytes"`
	Downloads []download `json:"downloads"`
}

type getOptions struct {
	hashing int
	before  string
	span    string
	rate    int
	seconds float64
	receive int
	step    int
}

// get downloads one URL on each connection: once, or over and over for a number of seconds.
func get(args []string) (any, error) {
	var o getOptions
	flags := flag.NewFlagSet("get", flag.ContinueOnError)
	connections := flags.Int("connections", 1, "how many; the i-th takes the i-th URL, modulo their number")
	flags.IntVar(&o.hashing, "hash", 0, "how many of them hash what they receive")
	before := flags.String("before", "", "paths to ask for first, as a pull asks for the manifest; the i-th connection takes the i-th")
	flags.StringVar(&o.span, "range", "", "value of the Range header")
	flags.IntVar(&o.rate, "rate", 0, "bytes per second that each connection takes; 0: all there are")
	flags.Float64Var(&o.seconds, "seconds", 0, "repeat until then, and stop wherever that is")
	flags.IntVar(&o.step, "step", 0, "how many URLs further each repetition goes; 0: the same one again")
	flags.IntVar(&o.receive, "receive", 0, "bytes of the socket's receive buffer; 0: the system's choice")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	urls, err := parseURLs(flags.Args())
	if err != nil {
		return nil, err
	}
	paths := strings.Split(*before, ",")
	report := getReport{Downloads: make([]download, *connections)}
	started := time.Now()
	var group sync.WaitGroup
	for i := range report.Downloads {
		group.Add(1)
		go func() {
			defer group.Done()
			one := o
			one.before = paths[i%len(paths)]
			report.Downloads[i] = fetch(urls, i, one, i < o.hashing, started)
		}()
	}
	group.Wait()
	report.Seconds = time.Since(started).Seconds()
	for _, one := range report.Downloads {
		report.Bytes += one.Bytes
	}
	return report, nil
}

func parseURLs(texts []string) ([]*url.URL, error) {
	if len(texts) == 0 {
		return nil, errors.New("no URL")
	}
	urls := make([]*url.URL, len(texts))
	for i, text := range texts {
		parsed, err := url.Parse(text)
		if err != nil {
			return nil, err
		}
		urls[i] = parsed
	}
	return urls, nil
}

func fetch(urls []*url.URL, index int, o getOptions, isHashing bool, started time.Time) (result download) {
	fail := func(err error) download {
		result.Error = err.Error()
		result.Seconds = time.Since(started).Seconds()
		return result
	}
	c, err := dial(urls[0], o.receive)
	if err != nil {
		return fail(err)
	}
	defer c.close()
	if o.before != "" {
		if err := c.skim(o.before); err != nil {
			return fail(err)
		}
	}
	var sum hash.Hash
	if isHashing {
		sum = sha256.New()
	}
	pacing := time.Now()
	for ; ; index += o.step {
		head, err := c.ask(urls[index%len(urls)].RequestURI(), o.span)
		if err != nil {
			return fail(err)
		}
		result.Status = head.status
		if head.status != 200 && head.status != 206 {
			return fail(fmt.Errorf("status %d", head.status))
		}
		err = c.body(head, func(piece []byte) error {
			if result.Bytes == 0 {
				result.FirstByteSec = time.Since(started).Seconds()
			}
			result.Bytes += int64(len(piece))
			if sum != nil {
				sum.Write(piece)
			}
			if o.rate > 0 {
				time.Sleep(time.Until(pacing.Add(time.Duration(float64(result.Bytes) / float64(o.rate) * 1e9))))
			}
			if o.seconds > 0 && time.Since(started).Seconds() >= o.seconds {
				return errStop
			}
			return nil
		})
		if err != nil && err != errStop {
			return fail(err)
		}
		if err == errStop || o.seconds == 0 {
			break
		}
	}
	result.Seconds = time.Since(started).Seconds()
	if sum != nil {
		result.SHA256 = hex.EncodeToString(sum.Sum(nil))
	}
	return result
}

// skim asks for a small document and reads it to its end.
func (c *connection) skim(path string) error {
	head, err := c.ask(path, "")
	if err != nil {
		return err
	}
	if err := c.body(head, func([]byte) error { return nil }); err != nil && err != io.EOF {
		return fmt.Errorf("%s: %w", path, err)
	}
	if head.status != 200 {
		return fmt.Errorf("%s: status %d", path, head.status)
	}
	return nil
}
