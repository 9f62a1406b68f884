"""asyncio, tamed: services with a beginning and an end, the only place that creates asyncio tasks, test probes. A leaf."""
