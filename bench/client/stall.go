package main

import (
	"flag"
	"fmt"
	"os"
	"sync"
	"time"
)

type stallReport struct {
	Stalled int    `json:"stalled"`
	Failed  int    `json:"failed"`
	Error   string `json:"error,omitempty"`
}

// stall opens connections, asks for the URL, reads the head of the answer and nothing more. It reports when all are
// there, and keeps them for a while: whoever started it ends it.
func stall(args []string) (any, error) {
	flags := flag.NewFlagSet("stall", flag.ContinueOnError)
	count := flags.Int("connections", 1000, "how many")
	seconds := flags.Float64("seconds", 50, "how long, at most")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	urls, err := parseURLs(flags.Args())
	if err != nil {
		return nil, err
	}
	connections := make([]*connection, *count)
	failures := make([]error, *count)
	slots := make(chan struct{}, 64) // a burst of a thousand handshakes is another test
	var group sync.WaitGroup
	for i := range connections {
		group.Add(1)
		go func() {
			defer group.Done()
			slots <- struct{}{}
			defer func() { <-slots }()
			connections[i], failures[i] = halfOpen(urls[0].String())
		}()
	}
	group.Wait()
	report := stallReport{}
	for _, failure := range failures {
		if failure == nil {
			report.Stalled++
		} else {
			report.Failed++
			report.Error = failure.Error()
		}
	}
	fmt.Fprintf(os.Stderr, "stalled %d of %d %s\n", report.Stalled, *count, report.Error)
	time.Sleep(time.Duration(*seconds * 1e9))
	for _, one := range connections {
		if one != nil {
			one.close()
		}
	}
	return report, nil
}

func halfOpen(text string) (*connection, error) {
	urls, err := parseURLs([]string{text})
	if err != nil {
		return nil, err
	}
	c, err := dial(urls[0], 4096)
	if err != nil {
		return nil, err
	}
	c.buffer = make([]byte, 2048)
	head, err := c.ask(urls[0].RequestURI(), "")
	if err == nil && head.status != 200 {
		err = fmt.Errorf("status %d", head.status)
	}
	return c, err
}
