// Command client is the load of the benchmarks where wrk does not fit: whole blobs on many connections, readers that
// are slow or stand still, and single requests at a steady beat. It reads raw sockets into one buffer for each
// connection, so that what is measured is the server.
package main

import (
	"encoding/json"
	"fmt"
	"os"
)

func main() {
	if len(os.Args) < 2 {
		fail(fmt.Errorf("usage: client get|stall|beat|flood [options] URL..."))
	}
	modes := map[string]func([]string) (any, error){"get": get, "stall": stall, "beat": beat, "flood": flood}
	mode, known := modes[os.Args[1]]
	if !known {
		fail(fmt.Errorf("no mode %q", os.Args[1]))
	}
	report, err := mode(os.Args[2:])
	if err != nil {
		fail(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(report); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
