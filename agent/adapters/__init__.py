"""The edges: each module knows one thing of the outside world, and no other adapter."""
