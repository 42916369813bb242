"""What an operator sees of a conversation: traces, metrics and logs."""
