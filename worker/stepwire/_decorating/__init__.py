"""`@cl.step`: what can be called, and the step that each call becomes."""
