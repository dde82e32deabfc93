"""What people give and take: arrays, pictures, and arrays larger than memory."""
