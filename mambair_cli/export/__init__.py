"""Other places where the networks run: ONNX, spandrel, folders as the Hugging Face hub has them."""
