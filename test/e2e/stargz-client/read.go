package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/pkg/reference"
	"github.com/containerd/stargz-snapshotter/estargz"
	"github.com/containerd/stargz-snapshotter/fs"
	"github.com/containerd/stargz-snapshotter/fs/config"
	"github.com/containerd/stargz-snapshotter/fs/source"
)

// seen is what was read, and how long it took, in milliseconds.
type seen struct {
	MountMs int64             `json:"mountMs"`
	ReadMs  int64             `json:"readMs"`
	Files   map[string]string `json:"files"`
}

// read mounts a layer from weir, which is asked as a mirror of the registry that the reference names, reads files in the
// order given, checks the connection as the snapshotter does from time to time, and unmounts.
func read(ctx context.Context, args []string) (_ any, err error) {
	if len(args) < 6 {
		return nil, fmt.Errorf("too few arguments")
	}
	weir, ref, digest, tocDigest, work, files := args[0], args[1], args[2], args[3], args[4], args[5:]
	hosts := func(reference.Spec) ([]docker.RegistryHost, error) {
		return []docker.RegistryHost{{
			Client:       &http.Client{Timeout: 30 * time.Second, Transport: http.DefaultTransport.(*http.Transport).Clone()},
			Host:         weir,
			Scheme:       "http",
			Path:         "/v2",
			Capabilities: docker.HostCapabilityPull | docker.HostCapabilityResolve,
		}}, nil
	}
	// Only what is read is fetched: the rest would come in the background and hide what a read costs.
	settings := config.Config{NoPrefetch: true, NoBackgroundFetch: true, NoPrometheus: true}
	settings.BlobConfig = config.BlobConfig{CheckAlways: true}
	filesystem, err := fs.NewFilesystem(filepath.Join(work, "cache"), settings,
		fs.WithGetSources(source.FromDefaultLabels(hosts)))
	if err != nil {
		return nil, err
	}
	mountpoint := filepath.Join(work, "mnt")
	if err := os.MkdirAll(mountpoint, 0o755); err != nil {
		return nil, err
	}
	labels := map[string]string{
		"containerd.io/snapshot/remote/stargz.reference": ref,
		"containerd.io/snapshot/remote/stargz.digest":    digest,
		estargz.TOCJSONDigestAnnotation:                  tocDigest,
	}
	began := time.Now()
	if err := filesystem.Mount(ctx, mountpoint, labels); err != nil {
		return nil, err
	}
	defer func() {
		if failure := syscall.Unmount(mountpoint, syscall.MNT_DETACH); err == nil {
			err = failure
		}
	}()
	mounted := time.Now()
	answer := seen{MountMs: mounted.Sub(began).Milliseconds(), Files: map[string]string{}}
	for _, name := range files {
		bytes, err := os.ReadFile(filepath.Join(mountpoint, name))
		if err != nil {
			return nil, err
		}
		answer.Files[name] = fmt.Sprintf("%x", sha256.Sum256(bytes))
	}
	answer.ReadMs = time.Since(mounted).Milliseconds()
	return answer, filesystem.Check(ctx, mountpoint, labels)
}
