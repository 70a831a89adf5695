"""What the store does in its transactions: people, questions, answers, counts."""
