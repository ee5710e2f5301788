//go:build hosttest || vmguest

package realtest

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"runtime"
)

// The images' names. They hold the same program.
const (
	hogImage   = "localhost/oomtrace/hog:1"
	pauseImage = "localhost/oomtrace/pause:1"
)

type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int               `json:"size"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// imageFile writes an image with one file, /hog, as an archive that every
// engine reads: an OCI layout (containerd, podman) with a manifest of Docker's.
func imageFile(path, name, hog string, entrypoint ...string) error {
	program, err := os.ReadFile(hog)
	if err != nil {
		return err
	}
	a := &archive{}
	a.tar = tar.NewWriter(&a.buf)
	layer := archive{}
	layer.tar = tar.NewWriter(&layer.buf)
	layer.file("hog", program)
	if err := layer.close(); err != nil {
		return err
	}
	l := a.blob("application/vnd.oci.image.layer.v1.tar", layer.buf.Bytes())
	config := a.json("application/vnd.oci.image.config.v1+json", map[string]any{
		"architecture": runtime.GOARCH, "os": "linux",
		"config": map[string]any{"Entrypoint": entrypoint},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{l.Digest}},
	})
	manifest := a.json("application/vnd.oci.image.manifest.v1+json", map[string]any{
		"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": config, "layers": []descriptor{l},
	})
	manifest.Annotations = map[string]string{"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name}
	index, err := json.Marshal(map[string]any{"schemaVersion": 2, "manifests": []descriptor{manifest}})
	if err != nil {
		return err
	}
	docker, err := json.Marshal([]any{map[string]any{
		"Config": blobPath(config.Digest), "RepoTags": []string{name}, "Layers": []string{blobPath(l.Digest)},
	}})
	if err != nil {
		return err
	}
	a.file("oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`))
	a.file("index.json", index)
	a.file("manifest.json", docker)
	if err := a.close(); err != nil {
		return err
	}
	return os.WriteFile(path, a.buf.Bytes(), 0o644)
}

func blobPath(digest string) string { return "blobs/sha256/" + digest[len("sha256:"):] }

// archive keeps the first error.
type archive struct {
	buf bytes.Buffer
	tar *tar.Writer
	err error
}

func (a *archive) file(name string, data []byte) {
	if a.err == nil {
		a.err = a.tar.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(data)), Typeflag: tar.TypeReg})
	}
	if a.err == nil {
		_, a.err = a.tar.Write(data)
	}
}

func (a *archive) close() error {
	if a.err == nil {
		a.err = a.tar.Close()
	}
	return a.err
}

func (a *archive) blob(kind string, data []byte) descriptor {
	sum := sha256.Sum256(data)
	d := descriptor{MediaType: kind, Digest: "sha256:" + hex.EncodeToString(sum[:]), Size: len(data)}
	a.file(blobPath(d.Digest), data)
	return d
}

func (a *archive) json(kind string, v any) descriptor {
	b, err := json.Marshal(v)
	if err != nil && a.err == nil {
		a.err = err
	}
	return a.blob(kind, b)
}
