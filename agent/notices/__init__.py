"""When people are told: pure rules over what happened, and the loop that files, publishes and delivers notices."""
