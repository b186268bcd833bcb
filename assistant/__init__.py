"""The conversation: records, settings, store, understanding, composing, checking, one turn end to end."""
