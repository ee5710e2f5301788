package container

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sync"
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
	files
	grant func(map[grantKey]grant)
	also  func(*Info)

	mu   sync.Mutex
	read time.Time // when the file that was read last was written
}

func (c *Cache) newState(path string, also func(*Info)) *stateFile {
	f := &stateFile{files: files{dir: path}, grant: c.grant, also: also}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.states = append(c.states, f)
	return f
}

// stateData is the JSON inside of the file's JSON.
type stateData struct {
	// PodList is a v1.PodList in protobuf and base64 (checkpoint_v2.go).
	PodList json.RawMessage
	// Entries are requests and limits; AllocationEntries were their name in
	// 1.32.
	Entries, AllocationEntries map[string]json.RawMessage
}

func (f *stateFile) version() string { return "kubelet state" }

// get never knows a container, but a new one's pod may be in the file by now.
func (f *stateFile) get(context.Context, string) (*Info, error) {
	if err := f.refresh(); err != nil {
		return nil, err
	}
	return nil, errNotFound
}

// refresh reads the file again if it changed. Kubelet replaces the file, so it is
// whole; it does so before it starts a pod.
func (f *stateFile) refresh() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	fi, err := os.Stat(f.dir)
	if err != nil {
		return missing("read kubelet's state", err)
	}
	if fi.ModTime().Equal(f.read) {
		return nil
	}
	b, err := readFile(f.dir)
	if err != nil {
		return missing("read kubelet's state", err)
	}
	data, err := parseState(b)
	if err != nil {
		return fmt.Errorf("read kubelet's state: %w", err)
	}
	granted := data.grants()
	var pods []byte
	// The list is of a form of the file's own, if it is there at all.
	if json.Unmarshal(data.PodList, &pods) == nil {
		eachField(pods, func(n fieldNumber, item []byte, _ uint64) {
			if n == podListItems {
				f.pod(item, granted)
			}
		})
	}
	f.grant(granted)
	f.read = fi.ModTime()
	return nil
}

// pod takes one pod of the list.
func (f *stateFile) pod(item []byte, granted map[grantKey]grant) {
	p := parsePod(item)
	for _, i := range p.infos() {
		f.also(i)
	}
	for name, c := range p.containers {
		if p.UID != "" && len(granted) < maxGrants {
			granted[grantKey{p.UID, name}] = c.grant
		}
	}
}

func parseState(b []byte) (*stateData, error) {
	var file struct{ Data string }
	if err := json.Unmarshal(b, &file); err != nil {
		return nil, err
	}
	data := &stateData{}
	return data, json.Unmarshal([]byte(file.Data), data)
}
