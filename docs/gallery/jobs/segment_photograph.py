"""
Segment a photograph by its colours
===================================

A pixel is a point with three coordinates: red, green and blue. Each component of a mixture is one
colour of the picture, with the shades around it.
"""

from sklearn.datasets import load_sample_image

from fastgmm import GaussianMixture, plot_segmentation

image = load_sample_image("china.jpg") / 255  # 427 × 640 × 3, from 0 to 1
pixels = image.reshape(-1, 3)
model = GaussianMixture(n_components=12, random_state=0).fit(pixels)
labels = model.predict(pixels)
plot_segmentation(image, labels, model.means_)

# %%
# The weights are the shares of the colours in the picture. How much a colour varies is the square
# root of the trace of its covariance.

print("share   red  green   blue   deviation")
for k in model.weights_.argsort()[::-1]:
    red, green, blue = model.means_[k]
    deviation = model.covariances_[k].trace() ** 0.5
    colour = f"{red:.2f}   {green:.2f}   {blue:.2f}"
    print(f"{model.weights_[k]:5.1%}  {colour}        {deviation:.3f}")

# %%
# A mask with soft edges
# ----------------------
# Responsibilities add up: those of all light colours are a mask of sky and water, and its edges are
# as soft as the colours are uncertain. On the right every pixel is the mean of the twelve colours,
# weighted by its responsibilities.

import matplotlib.pyplot as plt

responsibilities = model.predict_proba(pixels)
light = model.means_.min(axis=1) > 0.6
mask = responsibilities[:, light].sum(axis=1).reshape(image.shape[:2])
mixed = (responsibilities @ model.means_).reshape(image.shape)

figure, axes = plt.subplots(1, 3, figsize=(10, 2.7), layout="constrained")
pictures = {"Mask": mask, "Photograph less the mask": image * (1 - mask[:, :, None])}
pictures["Mixed colours"] = mixed
for ax, (title, picture) in zip(axes, pictures.items(), strict=True):
    ax.imshow(picture, cmap="gray")
    ax.set_title(title)
    ax.set_axis_off()
