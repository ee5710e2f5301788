// Package crifake is a container runtime for tests: it answers the questions of
// oomtrace as containerd does, and runs nothing.
package crifake

import (
	"context"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Runtime is what it knows: one container in one pod.
type Runtime struct {
	cri.UnimplementedRuntimeServiceServer
	ID, Container, Image string
	Namespace, Pod, UID  string
	MemoryLimitBytes     int64
	// Unlisted leaves the container out unless it is asked for by its id.
	Unlisted                bool
	sandboxOf, sandboxLabel string
}

// Serve answers on a listener until stop is called.
func (r *Runtime) Serve(l net.Listener) (stop func()) {
	r.sandboxOf, r.sandboxLabel = "sandbox-of-"+r.ID[:12], "app"
	s := grpc.NewServer()
	cri.RegisterRuntimeServiceServer(s, r)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(l)
	}()
	return func() {
		s.Stop()
		<-done
	}
}

// Version names it.
func (r *Runtime) Version(context.Context, *cri.VersionRequest) (*cri.VersionResponse, error) {
	return &cri.VersionResponse{Version: "0.1.0", RuntimeName: "containerd", RuntimeVersion: "v2.1.4", RuntimeApiVersion: "v1"}, nil
}

// ListPodSandbox gives the pod.
func (r *Runtime) ListPodSandbox(_ context.Context, q *cri.ListPodSandboxRequest) (*cri.ListPodSandboxResponse, error) {
	if id := q.GetFilter().GetId(); id != "" && id != r.sandboxOf {
		return &cri.ListPodSandboxResponse{}, nil
	}
	return &cri.ListPodSandboxResponse{Items: []*cri.PodSandbox{{
		Id: r.sandboxOf, Metadata: &cri.PodSandboxMetadata{Name: r.Pod, Namespace: r.Namespace, Uid: r.UID},
		Labels: map[string]string{r.sandboxLabel: r.Container},
	}}}, nil
}

// ListContainers gives the container.
func (r *Runtime) ListContainers(_ context.Context, q *cri.ListContainersRequest) (*cri.ListContainersResponse, error) {
	if id := q.GetFilter().GetId(); id != r.ID && (id != "" || r.Unlisted) {
		return &cri.ListContainersResponse{}, nil
	}
	return &cri.ListContainersResponse{Containers: []*cri.Container{{
		Id: r.ID, PodSandboxId: r.sandboxOf, Metadata: &cri.ContainerMetadata{Name: r.Container}, Image: &cri.ImageSpec{Image: r.Image},
	}}}, nil
}

// ContainerStatus gives the limit.
func (r *Runtime) ContainerStatus(_ context.Context, q *cri.ContainerStatusRequest) (*cri.ContainerStatusResponse, error) {
	if q.GetContainerId() != r.ID {
		return nil, status.Error(codes.NotFound, "no such container")
	}
	return &cri.ContainerStatusResponse{Status: &cri.ContainerStatus{
		Id: r.ID, Image: &cri.ImageSpec{Image: r.Image},
		Resources: &cri.ContainerResources{Linux: &cri.LinuxContainerResources{MemoryLimitInBytes: r.MemoryLimitBytes}},
	}}, nil
}
