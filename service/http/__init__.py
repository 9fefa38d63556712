"""HTTP: bounds on messages, middleware, JSON bodies, and errors as problem documents."""
