"""How a net is trained."""
