"""A soak: thousands of connections that come and go for as long as you like, with every feature on and faults injected."""
