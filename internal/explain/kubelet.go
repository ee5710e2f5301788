package explain

import "slices"

// kubelet says which of kubelet's rules set memory.swap.max to 0
// (pkg/kubelet/kuberuntime/kuberuntime_container_linux.go): NoSwap, or under
// LimitedSwap any pod that is not burstable, a critical pod, and a container
// without a memory request or with one equal to its limit.
func (e *explanation) kubelet() {
	v := e.victim
	if v.Pod == nil || v.Pod.UID == "" && v.Pod.Namespace == "" {
		return
	}
	const hidden = "a request equal to the limit, no request, or a critical pod: the record does not show which"
	code, text, c := codeKubeletUnsure, "", orEmpty(v.Container)
	request, qos := c.MemoryRequestBytes, v.Pod.QoS
	if !slices.Contains([]string{"guaranteed", "burstable", "besteffort"}, qos) {
		qos = "" // nothing else of a pod's annotation enters the explanation
	}
	switch behavior := v.Pod.SwapBehavior; {
	case behavior == "NoSwap":
		code, text = codeKubeletNoSwap, "kubelet runs with swapBehavior NoSwap: no swap for any pod"
	case qos == "":
		// A podman pod has an id but no QoS class.
		return
	case qos != "burstable":
		code, text = codeKubeletQoS, "kubelet gives "+qos+" pods no swap, under NoSwap and LimitedSwap alike"
	case e.limit.MemswMaxBytes.Known:
		text = "on cgroup v1 kubelet sets the limit on memory and swap to the memory limit, under NoSwap and LimitedSwap alike"
	case behavior != "LimitedSwap":
		text = "memory.swap.max=0 of this burstable pod comes from NoSwap, or from LimitedSwap with " + hidden
	case isNone(request):
		code, text = codeKubeletRequest, "LimitedSwap gives a container with a memory request of 0 no swap"
	case request.Known && request == c.MemoryLimitBytes:
		code, text = codeKubeletRequest, "LimitedSwap gives a container whose memory request equals its limit ("+sizeText(request.Value)+") no swap"
	default:
		text = "under LimitedSwap, memory.swap.max=0 of this burstable pod comes from " + hidden
	}
	e.add(finding{code: code, text: text})
}

// kubeletShare: a finite share of swap is LimitedSwap's, in proportion to the
// memory request.
func (e *explanation) kubeletShare(share uint64) {
	if p := e.victim.Pod; p != nil && p.SwapBehavior == "LimitedSwap" && p.QoS == "burstable" {
		e.add(finding{code: codeKubeletLimited, text: "LimitedSwap gave the container " + sizeText(share) + " of swap, in proportion to its memory request"})
	}
}
