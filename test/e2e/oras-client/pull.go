package main

import (
	"context"
	"fmt"
	"os"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content/oci"
)

// pull copies everything below a reference into an OCI layout. oras-go verifies size, digest and media type on the way.
func pull(ctx context.Context, args []string) (any, error) {
	if len(args) != 2 {
		return nil, fmt.Errorf("a reference and a directory are needed")
	}
	repo, reference, err := repository(args[0])
	if err != nil {
		return nil, err
	}
	layout, err := oci.NewWithContext(ctx, args[1])
	if err != nil {
		return nil, err
	}
	root, err := oras.Copy(ctx, repo, reference, layout, reference, oras.DefaultCopyOptions)
	if err != nil {
		return nil, err
	}
	return describe(root), nil
}

// extract copies everything below a reference of one OCI layout into another one, reading the first one as it lies there.
func extract(ctx context.Context, args []string) (any, error) {
	if len(args) != 3 {
		return nil, fmt.Errorf("a directory, a reference and another directory are needed")
	}
	from, err := oci.NewFromFS(ctx, os.DirFS(args[0]))
	if err != nil {
		return nil, err
	}
	to, err := oci.NewWithContext(ctx, args[2])
	if err != nil {
		return nil, err
	}
	root, err := oras.Copy(ctx, from, args[1], to, "extracted", oras.DefaultCopyOptions)
	if err != nil {
		return nil, err
	}
	return describe(root), nil
}

// copyGraph carries an artifact and every referrer of it from one repository to another one, as `oras copy -r` does.
func copyGraph(ctx context.Context, args []string) (any, error) {
	if len(args) != 2 {
		return nil, fmt.Errorf("two references are needed")
	}
	from, reference, err := repository(args[0])
	if err != nil {
		return nil, err
	}
	to, tag, err := repository(args[1])
	if err != nil {
		return nil, err
	}
	root, err := oras.ExtendedCopy(ctx, from, reference, to, tag, oras.DefaultExtendedCopyOptions)
	if err != nil {
		return nil, err
	}
	return describe(root), nil
}

// referrer is one answer of discover: the descriptor from the list, and the files of the manifest that it names, which
// was fetched too.
type referrer struct {
	found
	Layers []found `json:"layers"`
}

func describeAll(descriptors []ocispec.Descriptor) []found {
	all := make([]found, 0, len(descriptors))
	for _, descriptor := range descriptors {
		all = append(all, describe(descriptor))
	}
	return all
}
