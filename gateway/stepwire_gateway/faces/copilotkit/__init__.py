"""The routes that CopilotKit's React components call, without its runtime and its hosted part."""
