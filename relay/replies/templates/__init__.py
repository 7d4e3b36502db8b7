"""What people write between `{{` and `}}`: a small language in which nothing can run for ever or fill the memory."""
