package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/registry/remote"
)

type discovered struct {
	Subject   found      `json:"subject"`
	Referrers []referrer `json:"referrers"`
}

// discover lists the referrers of a reference (API or fallback tag, as oras-go finds out by itself) and fetches each
// one with all its layers, so that a listed referrer that cannot be pulled is a failure.
func discover(ctx context.Context, args []string) (any, error) {
	flags := flag.NewFlagSet("discover", flag.ContinueOnError)
	artifactType := flags.String("artifact-type", "", "list only referrers of this type")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if flags.NArg() != 1 {
		return nil, fmt.Errorf("one reference is needed")
	}
	repo, reference, err := repository(flags.Arg(0))
	if err != nil {
		return nil, err
	}
	subject, err := repo.Resolve(ctx, reference)
	if err != nil {
		return nil, err
	}
	// Read as well, as by programs that verify what they find: a subject that was only resolved is not cached, because a
	// HEAD must not cost the upstream a GET.
	if _, err := content.FetchAll(ctx, repo, subject); err != nil {
		return nil, fmt.Errorf("subject %s: %w", subject.Digest, err)
	}
	answer := discovered{Subject: describe(subject), Referrers: []referrer{}}
	err = repo.Referrers(ctx, subject, *artifactType, func(page []ocispec.Descriptor) error {
		for _, descriptor := range page {
			one, err := fetchReferrer(ctx, repo, descriptor)
			if err != nil {
				return fmt.Errorf("referrer %s: %w", descriptor.Digest, err)
			}
			answer.Referrers = append(answer.Referrers, one)
		}
		return nil
	})
	return answer, err
}

func fetchReferrer(ctx context.Context, repo *remote.Repository, descriptor ocispec.Descriptor) (referrer, error) {
	bytes, err := content.FetchAll(ctx, repo, descriptor)
	if err != nil {
		return referrer{}, err
	}
	var manifest ocispec.Manifest
	if err := json.Unmarshal(bytes, &manifest); err != nil {
		return referrer{}, err
	}
	for _, layer := range manifest.Layers {
		if _, err := content.FetchAll(ctx, repo, layer); err != nil {
			return referrer{}, fmt.Errorf("layer %s: %w", layer.Digest, err)
		}
	}
	return referrer{found: describe(descriptor), Layers: describeAll(manifest.Layers)}, nil
}
