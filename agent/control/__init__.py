"""Local HTTP that belongs to the agent: the dashboard's page, its settings and its headers, on loopback.

Standard library only, for a core install serves it too; the embedded stack's gateway answers from the same code.
"""
