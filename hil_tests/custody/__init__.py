"""The siege: everything is killed, again and again, while customers measure; then every reading is counted."""
