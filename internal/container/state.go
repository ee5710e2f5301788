package container

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"
)

const (
	kindState = "kubelet state"
	// allocatedState, below kubelet's root, is what kubelet admitted (1.33 on,
	// pkg/kubelet/allocation/state). The format is kubelet's own and may
	// change: nothing depends on it but what no other source told.
	allocatedState = "/allocated_pods_state"
)

// stateFile is kubelet's state: what each container was granted, and in its later
// form the pods with their names. It has no ids of containers.
type stateFile struct {
	path  string
	cache *Cache
	put   func(*Info)

	read time.Time // when the file that was read last was written
	pods []*Info
}

// stateData is the JSON inside of the file's JSON.
type stateData struct {
	// PodList is a v1.PodList in protobuf and base64 (checkpoint_v2.go).
	PodList json.RawMessage
	// Entries are requests and limits; AllocationEntries were their name in
	// 1.32.
	Entries, AllocationEntries map[string]json.RawMessage
}

func (f *stateFile) version() string                     { return "kubelet state" }
func (f *stateFile) close()                              {}
func (f *stateFile) detail(context.Context, *Info) error { return nil }

func (f *stateFile) list(_ context.Context, put func(*Info)) error {
	if err := f.refresh(); err != nil {
		return err
	}
	for _, i := range f.pods {
		one := *i
		put(&one)
	}
	return nil
}

// get never knows a container, but a new one's pod may be in the file by now.
func (f *stateFile) get(ctx context.Context, _ string) (*Info, error) {
	was := f.read
	if err := f.refresh(); err != nil {
		return nil, err
	}
	if !f.read.Equal(was) {
		_ = f.list(ctx, f.put) // it has just been read
	}
	return nil, errNotFound
}

// refresh reads the file again if it changed. Kubelet replaces it, so it is
// whole.
func (f *stateFile) refresh() error {
	fi, err := os.Stat(f.path)
	if err != nil {
		return fmt.Errorf("read kubelet's state: %w", err)
	}
	if fi.ModTime().Equal(f.read) {
		return nil
	}
	b, err := readFile(f.path)
	if err != nil {
		return fmt.Errorf("read kubelet's state: %w", err)
	}
	data, err := parseState(b)
	if err != nil {
		return fmt.Errorf("read kubelet's state: %w", err)
	}
	f.cache.grant(data.grants())
	f.pods, f.read = nil, fi.ModTime()
	var pods []byte
	if json.Unmarshal(data.PodList, &pods) != nil {
		return nil // an older form, or a newer one
	}
	eachField(pods, func(n fieldNumber, item []byte, _ uint64) {
		if n == podListItems {
			f.pods = append(f.pods, parsePod(item).infos()...)
		}
	})
	return nil
}

func parseState(b []byte) (*stateData, error) {
	var file struct{ Data string }
	if err := json.Unmarshal(b, &file); err != nil {
		return nil, err
	}
	data := &stateData{}
	return data, json.Unmarshal([]byte(file.Data), data)
}
