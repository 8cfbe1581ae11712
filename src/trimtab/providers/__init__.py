"""Wire formats of model providers and the HTTP client that speaks them."""
