// Command oras-client drives oras-go/v2 the way programs built on it do: push, pull, copy with referrers, discover.
// Registries are spoken to over plain HTTP, because in the end-to-end suite all of them are on loopback. Every command
// prints one JSON document on standard output; errors go to standard error with exit code 1.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
)

const usage = `usage:
  oras-client push [-artifact-type T] [-config-type T] [-subject DIGEST] [-annotation KEY=VALUE]... HOST/REPO[:TAG] FILE=MEDIATYPE...
  oras-client pull HOST/REPO:REFERENCE LAYOUT-DIR
  oras-client extract LAYOUT-DIR REFERENCE LAYOUT-DIR
  oras-client copy HOST/REPO:REFERENCE HOST/REPO:TAG     the artifact together with all its referrers
  oras-client discover [-artifact-type T] HOST/REPO:REFERENCE
`

type command func(ctx context.Context, args []string) (any, error)

var commands = map[string]command{
	"push":     push,
	"pull":     pull,
	"extract":  extract,
	"copy":     copyGraph,
	"discover": discover,
}

func main() {
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	answer, err := commands[os.Args[1]](ctx, os.Args[2:])
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(answer)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "oras-client %s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
}

// repository parses a reference and opens its repository without retries: a cell of the matrix must fail at the first
// wrong answer, not be healed by the client.
func repository(reference string) (*remote.Repository, string, error) {
	repo, err := remote.NewRepository(reference)
	if err != nil {
		return nil, "", err
	}
	repo.PlainHTTP = true
	repo.Client = &auth.Client{Client: plainClient, Cache: auth.NewCache()}
	return repo, repo.Reference.Reference, nil
}

// found is what the suite compares: descriptors, without the annotations that vary between runs.
type found struct {
	MediaType    string `json:"mediaType"`
	Digest       string `json:"digest"`
	Size         int64  `json:"size"`
	ArtifactType string `json:"artifactType,omitempty"`
}

func describe(descriptor ocispec.Descriptor) found {
	return found{
		MediaType:    descriptor.MediaType,
		Digest:       descriptor.Digest.String(),
		Size:         descriptor.Size,
		ArtifactType: descriptor.ArtifactType,
	}
}
