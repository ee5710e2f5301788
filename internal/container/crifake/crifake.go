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
}

// Serve answers on a listener until stop is called.
func (r *Runtime) Serve(l net.Listener) (stop func()) {
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

// sandbox is the id of the pod's sandbox.
func (r *Runtime) sandbox() string { return "sandbox-of-" + r.ID[:12] }

// Version names it.
func (r *Runtime) Version(context.Context, *cri.VersionRequest) (*cri.VersionResponse, error) {
	return &cri.VersionResponse{Version: "0.1.0", RuntimeName: "containerd", RuntimeVersion: "v2.1.4", RuntimeApiVersion: "v1"}, nil
}

// PodSandboxStatus gives the pod.
func (r *Runtime) PodSandboxStatus(_ context.Context, q *cri.PodSandboxStatusRequest) (*cri.PodSandboxStatusResponse, error) {
	if q.GetPodSandboxId() != r.sandbox() {
		return nil, status.Error(codes.NotFound, "no such sandbox")
	}
	return &cri.PodSandboxStatusResponse{Status: &cri.PodSandboxStatus{
		Id: r.sandbox(), Metadata: &cri.PodSandboxMetadata{Name: r.Pod, Namespace: r.Namespace, Uid: r.UID},
		Labels: map[string]string{"app": r.Container},
	}}, nil
}

// ContainerStatus gives the container, with its sandbox where the answer is to be
// verbose.
func (r *Runtime) ContainerStatus(_ context.Context, q *cri.ContainerStatusRequest) (*cri.ContainerStatusResponse, error) {
	if q.GetContainerId() != r.ID {
		return nil, status.Error(codes.NotFound, "no such container")
	}
	out := &cri.ContainerStatusResponse{Status: &cri.ContainerStatus{
		Id: r.ID, Metadata: &cri.ContainerMetadata{Name: r.Container}, Image: &cri.ImageSpec{Image: r.Image},
		Labels: map[string]string{
			"io.kubernetes.pod.name": r.Pod, "io.kubernetes.pod.namespace": r.Namespace, "io.kubernetes.pod.uid": r.UID,
			"io.kubernetes.container.name": r.Container,
		},
		Resources: &cri.ContainerResources{Linux: &cri.LinuxContainerResources{MemoryLimitInBytes: r.MemoryLimitBytes}},
	}}
	if q.GetVerbose() {
		out.Info = map[string]string{"info": `{"sandboxID":"` + r.sandbox() + `"}`}
	}
	return out, nil
}
