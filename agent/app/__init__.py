"""Wiring: the only room that builds concrete adapters and joins the stages to them."""
