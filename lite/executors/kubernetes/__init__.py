"""Pods: one per attempt, each behaving like a session of this machine.

Layer: as the other executors. The session itself is one of the executor with terminals that is given to us; its
program is the **bridge** (`bridge*.py`, `qd _pod`), which copies between that terminal and the pod. So recording,
typing, watching, hiding secrets and outliving the supervisor are the same as of local sessions.

`executor` and what it needs (`client`, `watching`, `reconciler`, `outcomes`) are the supervisor's side, the only one
which imports `kubernetes_asyncio`, and only when a client is opened. `manifests` and `bootstrap` are pure: what a pod
is made of, and the script that begins in it. `pod_file` is what both sides write for each other. Nothing is imported
here.
"""
