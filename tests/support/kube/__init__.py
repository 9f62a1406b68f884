"""A scripted fake Kubernetes API server with a fake kubelet that runs each container as a real local process.

`cluster.FakeCluster` in a test's own loop, or `control.RemoteCluster`: the same in a process of its own. What a real
v1.36 cluster with containerd does is imitated where the executor could notice; what is not known is refused.
"""
