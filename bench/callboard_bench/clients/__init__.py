"""What a load generator does inside its process: connections, and what they hear and say."""
