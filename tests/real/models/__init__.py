"""A scriptable stand-in for the model services the agent programs talk to. It answers on loopback only.

`talk` is what is asked and answered in words common to all; `scenarios` decides the answer by a word in the prompt;
`anthropic`, `responses`, `completions` and `gemini` are one wire format each; `http` and `server` carry them.
"""
