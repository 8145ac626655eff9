"""What the paper and its users ask of a trained model, one script a question.

``python -m validation.experiments [NAME...] [--quick | --full] [--data DIR] [--report DIR]``
"""
