package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/registry/remote"
)

var plainClient = &http.Client{Transport: http.DefaultTransport}

// push uploads files as the layers of one manifest. With -subject the manifest refers to another one of the same
// repository; oras-go then keeps the fallback tag up to date where the registry has no referrers API.
func push(ctx context.Context, args []string) (any, error) {
	flags := flag.NewFlagSet("push", flag.ContinueOnError)
	artifactType := flags.String("artifact-type", "", "artifactType of the manifest")
	configType := flags.String("config-type", "", "media type of an empty config ({}) instead of the empty descriptor")
	subject := flags.String("subject", "", "digest the manifest refers to")
	annotations := map[string]string{ocispec.AnnotationCreated: "2001-01-01T00:00:00Z"}
	flags.Func("annotation", "KEY=VALUE of the manifest; may be repeated", func(argument string) error {
		key, value, ok := strings.Cut(argument, "=")
		if !ok {
			return fmt.Errorf("%q is not KEY=VALUE", argument)
		}
		annotations[key] = value
		return nil
	})
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if flags.NArg() < 2 {
		return nil, fmt.Errorf("a reference and at least one FILE=MEDIATYPE are needed")
	}
	repo, tag, err := repository(flags.Arg(0))
	if err != nil {
		return nil, err
	}
	options := oras.PackManifestOptions{ManifestAnnotations: annotations}
	for _, argument := range flags.Args()[1:] {
		layer, err := pushFile(ctx, repo, argument)
		if err != nil {
			return nil, err
		}
		options.Layers = append(options.Layers, layer)
	}
	if *configType != "" {
		config, err := oras.PushBytes(ctx, repo, *configType, []byte("{}"))
		if err != nil {
			return nil, fmt.Errorf("config: %w", err)
		}
		options.ConfigDescriptor = &config
	}
	if *subject != "" {
		target, err := repo.Resolve(ctx, *subject)
		if err != nil {
			return nil, fmt.Errorf("subject: %w", err)
		}
		options.Subject = &target
	}
	manifest, err := oras.PackManifest(ctx, repo, oras.PackManifestVersion1_1, *artifactType, options)
	if err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	if tag != "" {
		if err := repo.Tag(ctx, manifest, tag); err != nil {
			return nil, fmt.Errorf("tag: %w", err)
		}
	}
	return describe(manifest), nil
}

// pushFile streams one file twice (digest, upload): a 1 GiB layer never lies in memory.
func pushFile(ctx context.Context, repo *remote.Repository, argument string) (ocispec.Descriptor, error) {
	path, mediaType, ok := strings.Cut(argument, "=")
	if !ok {
		return ocispec.Descriptor{}, fmt.Errorf("%q is not FILE=MEDIATYPE", argument)
	}
	file, err := os.Open(path)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	defer file.Close()
	sum, err := digest.FromReader(file)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	size, err := file.Seek(0, io.SeekCurrent)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return ocispec.Descriptor{}, err
	}
	descriptor := ocispec.Descriptor{
		MediaType:   mediaType,
		Digest:      sum,
		Size:        size,
		Annotations: map[string]string{ocispec.AnnotationTitle: filepath.Base(path)},
	}
	exists, err := repo.Exists(ctx, descriptor)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	if exists {
		return descriptor, nil
	}
	return descriptor, repo.Push(ctx, descriptor, file)
}
