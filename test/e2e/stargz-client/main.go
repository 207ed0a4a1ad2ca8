// Command stargz-client uses the filesystem of stargz-snapshotter, without the daemon around it: it makes a layer in
// eStargz, and mounts one through FUSE from a registry (plain HTTP, on loopback) and reads files of it. Every command prints
// one JSON document on standard output; errors go to standard error with exit code 1. Mounting needs the superuser.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
)

const usage = `usage:
  stargz-client build FILE.tar FILE.esgz
  stargz-client read WEIR NAMESPACE/REPO:TAG DIGEST TOC-DIGEST WORK-DIR FILE...
`

func main() {
	if len(os.Args) < 4 {
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	var answer any
	var err error
	switch args := os.Args[2:]; os.Args[1] {
	case "build":
		answer, err = build(args[0], args[1])
	case "read":
		answer, err = read(context.Background(), args)
	default:
		err = fmt.Errorf("no such command")
	}
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(answer)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "stargz-client %s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
}
