package main

import (
	"flag"
	"sort"
	"sync"
	"time"
)

type beatReport struct {
	Requests  int     `json:"requests"`
	Failed    int     `json:"failed"`
	Error     string  `json:"error,omitempty"`
	MedianMs  float64 `json:"p50Ms"`
	HighMs    float64 `json:"p99Ms"`
	SlowestMs float64 `json:"maxMs"`
}

// beat asks for the URLs in turn at fixed times on a few connections. Each answer counts from the moment it was due,
// also when the one before was late: a server that stands still for a second is not asked once but as often as due.
func beat(args []string) (any, error) {
	flags := flag.NewFlagSet("beat", flag.ContinueOnError)
	connections := flags.Int("connections", 4, "how many")
	perSecond := flags.Float64("rate", 400, "requests a second, over all connections")
	seconds := flags.Float64("seconds", 5, "how long")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	urls, err := parseURLs(flags.Args())
	if err != nil {
		return nil, err
	}
	step := time.Duration(float64(*connections) / *perSecond * 1e9)
	latencies := make([][]float64, *connections)
	failures := make([]error, *connections)
	started := time.Now().Add(50 * time.Millisecond)
	end := started.Add(time.Duration(*seconds * 1e9))
	var group sync.WaitGroup
	for i := range latencies {
		group.Add(1)
		go func() {
			defer group.Done()
			c, err := dial(urls[0], 0)
			if err != nil {
				failures[i] = err
				return
			}
			defer c.close()
			due := started.Add(step / time.Duration(*connections) * time.Duration(i))
			for n := i; due.Before(end); n++ {
				time.Sleep(time.Until(due))
				if err := c.skim(urls[n%len(urls)].RequestURI()); err != nil {
					failures[i] = err
					return
				}
				latencies[i] = append(latencies[i], time.Since(due).Seconds()*1000)
				due = due.Add(step)
			}
		}()
	}
	group.Wait()
	return summarise(latencies, failures), nil
}

func summarise(latencies [][]float64, failures []error) beatReport {
	var report beatReport
	var all []float64
	for _, some := range latencies {
		all = append(all, some...)
	}
	for _, failure := range failures {
		if failure != nil {
			report.Failed++
			report.Error = failure.Error()
		}
	}
	sort.Float64s(all)
	report.Requests = len(all)
	if len(all) > 0 {
		report.MedianMs = all[len(all)/2]
		report.HighMs = all[min(len(all)-1, len(all)*99/100)]
		report.SlowestMs = all[len(all)-1]
	}
	return report
}
