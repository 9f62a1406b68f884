"""asyncio, tamed: services with a beginning and an end, the only job factory, test probes. A leaf."""
