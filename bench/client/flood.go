package main

import (
	"bytes"
	"flag"
	"fmt"
	"net"
	"net/url"
	"sync"
	"time"
)

type floodReport struct {
	Requests int     `json:"requests"`
	Seconds  float64 `json:"seconds"`
	Failed   int     `json:"failed"`
	Error    string  `json:"error,omitempty"`
	MedianMs float64 `json:"p50Ms"`
	HighMs   float64 `json:"p99Ms"`
}

// flood sends HEAD requests as fast as they are answered, one at a time on each connection. wrk cannot: it waits for the
// body that Content-Length speaks of.
func flood(args []string) (any, error) {
	flags := flag.NewFlagSet("flood", flag.ContinueOnError)
	connections := flags.Int("connections", 64, "how many")
	seconds := flags.Float64("seconds", 5, "how long")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	urls, err := parseURLs(flags.Args())
	if err != nil {
		return nil, err
	}
	latencies := make([][]float64, *connections)
	failures := make([]error, *connections)
	started := time.Now()
	end := started.Add(time.Duration(*seconds * 1e9))
	var group sync.WaitGroup
	for i := range latencies {
		group.Add(1)
		go func() {
			defer group.Done()
			latencies[i], failures[i] = floodOne(urls[0], end)
		}()
	}
	group.Wait()
	elapsed := time.Since(started).Seconds()
	summary := summarise(latencies, failures)
	return floodReport{summary.Requests, elapsed, summary.Failed, summary.Error, summary.MedianMs, summary.HighMs}, nil
}

func floodOne(target *url.URL, end time.Time) ([]float64, error) {
	raw, err := net.DialTimeout("tcp", target.Host, dialTimeout)
	if err != nil {
		return nil, err
	}
	defer raw.Close()
	if err := raw.SetDeadline(end.Add(idleTimeout)); err != nil {
		return nil, err
	}
	request := []byte("HEAD " + target.RequestURI() + " HTTP/1.1\r\nHost: " + target.Host + "\r\nAccept: */*\r\n\r\n")
	buffer := make([]byte, 4096)
	latencies := make([]float64, 0, 65536)
	for began := time.Now(); began.Before(end); {
		if _, err := raw.Write(request); err != nil {
			return latencies, err
		}
		have := 0
		for !bytes.HasSuffix(buffer[:have], []byte("\r\n\r\n")) {
			n, err := raw.Read(buffer[have:])
			if err != nil {
				return latencies, err
			}
			have += n
		}
		if !bytes.HasPrefix(buffer, []byte("HTTP/1.1 200")) {
			return latencies, fmt.Errorf("not 200: %.40s", buffer)
		}
		now := time.Now()
		latencies = append(latencies, now.Sub(began).Seconds()*1000)
		began = now
	}
	return latencies, nil
}
