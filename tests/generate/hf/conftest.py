"""Small networks and pipelines of diffusers, built here with random weights: nothing is downloaded."""

from importlib.util import find_spec

import pytest
import torch

from unnoise.noise.seeds import generator

if find_spec("diffusers") is None:  # the extra 'diffusers'
    collect_ignore_glob = ["test_*.py"]


def _unet(**changes):
    """A `UNet2DModel` of 8 x 8 pixels with every weight random."""
    from diffusers import UNet2DModel

    torch.manual_seed(0)
    arguments = {
        "sample_size": 8,
        "in_channels": 3,
        "out_channels": 3,
        "layers_per_block": 1,
        "block_out_channels": (8, 16),
        "norm_num_groups": 4,
        "attention_head_dim": 8,
        "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
        "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
    }
    return UNet2DModel(**arguments | changes).eval()


def _prompted_unet(**changes):
    """A `UNet2DConditionModel` of 4 latent channels and prompts 16 wide."""
    from diffusers import UNet2DConditionModel

    torch.manual_seed(0)
    arguments = {
        "sample_size": 8,
        "in_channels": 4,
        "out_channels": 4,
        "layers_per_block": 1,
        "block_out_channels": (8, 16),
        "norm_num_groups": 4,
        "attention_head_dim": 8,
        "cross_attention_dim": 16,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    }
    return UNet2DConditionModel(**arguments | changes).eval()


@pytest.fixture(scope="session")
def unet():
    return _unet


@pytest.fixture(scope="session")
def prompted_unet():
    return _prompted_unet


@pytest.fixture(scope="session")
def plain():
    return _unet()


@pytest.fixture(scope="session")
def prompted():
    return _prompted_unet()


@pytest.fixture
def noise():
    return lambda *shape, seed=0: torch.randn(*shape, generator=generator(seed))


@pytest.fixture(scope="session")
def stable_diffusion():
    """Makes a pipeline like Stable Diffusion's: CLIP text encoder, autoencoder and U-Net, all tiny and random."""
    from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(0)
    text = CLIPTextModel(
        CLIPTextConfig(
            hidden_size=16,
            intermediate_size=16,
            num_attention_heads=2,
            num_hidden_layers=1,
            vocab_size=64,
            max_position_embeddings=8,
            projection_dim=16,
        )
    ).eval()
    vae = AutoencoderKL(
        block_out_channels=(8,),
        norm_num_groups=4,
        latent_channels=4,
        layers_per_block=1,
        down_block_types=("DownEncoderBlock2D",),
        up_block_types=("UpDecoderBlock2D",),
    ).eval()
    network = _prompted_unet()

    def make(scheduler=None):
        pipe = StableDiffusionPipeline(
            vae=vae,
            text_encoder=text,
            tokenizer=None,
            unet=network,
            scheduler=scheduler
            or DDIMScheduler(
                beta_start=0.00085,
                beta_end=0.012,
                beta_schedule="scaled_linear",
                clip_sample=False,
                set_alpha_to_one=False,
                steps_offset=1,
            ),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
        pipe.set_progress_bar_config(disable=True)
        return pipe

    return make
