package container

import (
	"context"
	"encoding/json"
	"errors"
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
	put   func(*Info) bool
	// when the file that was read last was written, for a list and for an ask
	listed, asked time.Time
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
func (f *stateFile) detail(context.Context, *Info) error { return nil }

func (f *stateFile) list(_ context.Context, put func(*Info) bool) error {
	return f.load(&f.listed, put)
}

func (f *stateFile) load(read *time.Time, put func(*Info) bool) error {
	pods, err := f.refresh(read)
	if err != nil {
		return err
	}
	err = nil
	eachField(pods, func(n fieldNumber, item []byte, _ uint64) {
		if n != podListItems || err != nil {
			return
		}
		for _, i := range parsePod(item).infos() {
			if !put(i) {
				err = errEnough
			}
		}
	})
	return err
}

// get never knows a container, but a new one's pod may be in the file by now.
func (f *stateFile) get(context.Context, string) (*Info, error) {
	err := f.load(&f.asked, f.put)
	if err == nil || errors.Is(err, errUnchanged) || errors.Is(err, errEnough) {
		err = errNotFound
	}
	return nil, err
}

// refresh reads the file again if it changed, and gives its pods, a v1.PodList in
// protobuf. Kubelet replaces the file, so it is whole.
func (f *stateFile) refresh(read *time.Time) (pods []byte, err error) {
	fi, err := os.Stat(f.path)
	if err != nil {
		return nil, fmt.Errorf("read kubelet's state: %w", err)
	}
	if fi.ModTime().Equal(*read) {
		return nil, errUnchanged
	}
	b, err := readFile(f.path)
	if err != nil {
		return nil, fmt.Errorf("read kubelet's state: %w", err)
	}
	data, err := parseState(b)
	if err != nil {
		return nil, fmt.Errorf("read kubelet's state: %w", err)
	}
	f.cache.grant(data.grants())
	*read = fi.ModTime()
	if json.Unmarshal(data.PodList, &pods) != nil {
		return nil, nil // an older form, or a newer one
	}
	return pods, nil
}

func parseState(b []byte) (*stateData, error) {
	var file struct{ Data string }
	if err := json.Unmarshal(b, &file); err != nil {
		return nil, err
	}
	data := &stateData{}
	return data, json.Unmarshal([]byte(file.Data), data)
}
