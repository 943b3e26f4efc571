"""The microcontroller's firmware: one C core, one HAL per board, and the way Python reaches the core."""
