package main

import (
	"io"
	"os"

	"github.com/containerd/stargz-snapshotter/estargz"
)

// built is what a client must know of a layer before it can mount it.
type built struct {
	TOCDigest string `json:"tocDigest"`
}

// build turns a tar file into a layer in eStargz.
func build(from, to string) (_ any, err error) {
	source, err := os.Open(from)
	if err != nil {
		return nil, err
	}
	defer source.Close()
	info, err := source.Stat()
	if err != nil {
		return nil, err
	}
	layer, err := estargz.Build(io.NewSectionReader(source, 0, info.Size()), estargz.WithChunkSize(1<<20))
	if err != nil {
		return nil, err
	}
	defer layer.Close()
	target, err := os.Create(to)
	if err != nil {
		return nil, err
	}
	if _, err = io.Copy(target, layer); err != nil {
		return nil, err
	}
	return built{TOCDigest: layer.TOCDigest().String()}, target.Close()
}
