"""What TensorBoard shows, and TensorBoard itself."""
