"""What the literature says about architectures: year, paper, published error; the keys are those of references.bib.

The error rates of the four families are those of their entries to the ImageNet challenge, which were ensembles; no
single net with the weights at hand reaches them, and `source` says so.
"""

from __future__ import annotations

import re
from dataclasses import replace

from reportgen.nets.archs import MINIS
from reportgen.records import Facts

_ALEXNET = Facts("AlexNet", "AlexNet", 2012, "krizhevsky2012")
_VGG = Facts("VGG", "VGG", 2014, "simonyan2015")
_GOOGLENET = Facts("GoogLeNet", "GoogLeNet", 2014, "szegedy2015")
_RESNET = Facts("ResNet", "ResNet", 2015, "he2016")

# Pattern of the arch -> the family's facts, with a title in which {} is what the pattern's group caught.
_FAMILIES: tuple[tuple[str, Facts], ...] = (
    (r"alexnet", _ALEXNET),
    (r"vgg(\d+)", replace(_VGG, title="VGG-{}")),
    (r"vgg(\d+)_bn", replace(_VGG, title="VGG-{} with batch norm")),
    (r"googlenet", _GOOGLENET),
    (r"inception_v3", Facts("GoogLeNet", "Inception v3", 2015, "szegedy2016")),
    (r"resnet(\d+)", replace(_RESNET, title="ResNet-{}")),
    (r"wide_resnet(\d+)_2", Facts("ResNet", "Wide ResNet-{}", 2016)),
    (r"resnext(\d+_.+)", Facts("ResNet", "ResNeXt-{}", 2016)),
    (r"squeezenet(1)_(\d)", Facts("SqueezeNet", "SqueezeNet {}.{}", 2016, "iandola2016")),
    (r"densenet(\d+)", Facts("DenseNet", "DenseNet-{}", 2016, "huang2017")),
    (r"mobilenet_v2", Facts("MobileNet", "MobileNetV2", 2018, "sandler2018")),
    (r"mobilenet_v3_(\w+)", Facts("MobileNet", "MobileNetV3 {}", 2019, "howard2019")),
    (r"efficientnet_(b\d)", Facts("EfficientNet", "EfficientNet-{}", 2019, "tan2019")),
    (r"efficientnet_v2_(\w)", Facts("EfficientNet", "EfficientNetV2-{}", 2021)),
    (r"convnext_(\w+)", Facts("ConvNeXt", "ConvNeXt {}", 2022, "liu2022")),
    (r"shufflenet_v2_x(\d)_(\d)", Facts("ShuffleNet", "ShuffleNetV2 x{}.{}", 2018, "ma2018")),
    (r"mnasnet(\d)_(\d+)", Facts("MNASNet", "MNASNet {}.{}", 2018)),
    (r"regnet_(\w+)", Facts("RegNet", "RegNet {}", 2020)),
    (r"vit_(\w+)", Facts("Vision Transformer", "ViT {}", 2020)),
    (r"swin_v2_(\w)", Facts("Swin Transformer", "Swin V2 {}", 2021)),
    (r"swin_(\w)", Facts("Swin Transformer", "Swin {}", 2021)),
    (r"maxvit_(\w)", Facts("MaxViT", "MaxViT {}", 2022)),
)

_ILSVRC = "ILSVRC-{} test set, ensemble of {} nets, {}"
_RESNET_ERROR = (3.57, _ILSVRC.format(2015, "six", "He et al. 2016"))
_ERRORS: dict[str, tuple[float, str]] = {
    "alexnet": (15.3, _ILSVRC.format(2012, "seven", "Krizhevsky et al. 2012")),
    "vgg16": (7.3, _ILSVRC.format(2014, "seven", "Simonyan and Zisserman 2015")),
    "vgg19": (7.3, _ILSVRC.format(2014, "seven", "Simonyan and Zisserman 2015")),
    "googlenet": (6.67, _ILSVRC.format(2014, "seven", "Szegedy et al. 2015")),
    "resnet50": _RESNET_ERROR,
    "resnet101": _RESNET_ERROR,
    "resnet152": _RESNET_ERROR,
    "squeezenet1_0": (19.7, "ImageNet validation set, one net, Iandola et al. 2016"),
    "densenet121": (7.71, "ImageNet validation set, one net, one crop, Huang et al. 2017"),
}


def facts(arch: str) -> Facts:
    """What is published about an architecture; a mini net shares its family's paper, never its error rate."""
    if arch in MINIS:
        families = {known.family.lower(): known for known in (_ALEXNET, _VGG, _GOOGLENET, _RESNET)}
        family = families[arch.removesuffix("_mini")]
        return replace(family, title=f"{family.family} mini")
    if arch == "encdec":
        return Facts("Encoder-decoder", "Encoder-decoder")
    for pattern, known in _FAMILIES:
        if found := re.fullmatch(pattern, arch):
            error, source = _ERRORS.get(arch, (None, ""))
            title = known.title.format(*(part.replace("_", " ") for part in found.groups()))
            return replace(known, title=title, top5_error=error, source=source)
    return Facts(title=arch.rpartition(":")[2] or arch)
