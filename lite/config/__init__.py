"""Reading what people write: `quarterdeck.yaml` and plans, checked, with file:line:column in every complaint.

Layer: beside backends and executors, above the rules. The only package besides the API's server that imports pydantic;
what comes out are the plain dataclasses of `lite.model`.
"""
