#!/usr/bin/env python3
"""Makes `firstlight-stories.gguf`: stories -> tokenizer -> model -> GGUF -> judged samples.

    cargo build --release -p firstlight-tests --bin storygen
    python engine/models/train.py --storygen target/release/storygen --work /tmp/stories

Needs PyTorch, numpy and gguf. The stories come from the grammar in `tests/src/story`,
which also judges what the trained model tells; README.md beside this file has the figures.

The model is a Llama: RMS norm, rope over adjacent pairs, grouped-query attention, SwiGLU,
the output tied to the embedding. Shapes below are [rows, columns] as in PyTorch; a GGUF
lists them the other way round.
"""

import argparse
import math
import re
import subprocess
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

import gguf
import numpy as np
import torch
import torch.nn.functional as F
from gguf.constants import GGMLQuantizationType, TokenType
from torch import nn

HERE = Path(__file__).resolve().parent
SEPARATOR = "\n----\n"  # storygen's
HELD_OUT = 64  # stories kept from training, to measure the loss
UNK, BOS, EOS, FIRST_BYTE = 0, 1, 2, 3
FIRST_PIECE = FIRST_BYTE + 256


# ---------------------------------------------------------------------------------- tokenizer
# The last merges are learned from these, so that English outside the stories is not spelled
# letter by letter.
COMMON_WORDS = """
the of and to in is you that it he was for on are as with his they at be this have from or one
had by word but not what all were we when your can said there use an each which she do how their
if will up other about out many then them these so some her would make like him into time has
look two more write go see number no way could people my than first water been call who its now
find long down day did get come made may part over new sound take only little work know place
year live me back give most very after thing our just name good sentence man think say great
where help through much before line right too mean old any same tell boy follow came want show
also around form three small set put end does another well large must big even such because turn
here why ask went men read need land different home us move try kind hand picture again change
play air away animal house point page letter mother answer found study still learn should world
The This That There What When Where Who How Why In It If You We They My I A An And But So For
"""


class Tokenizer:
    """Byte-fallback BPE in the SentencePiece way: spaces become `▁`, one goes in front, and
    the adjacent pair whose union has the highest score is merged until none is a piece."""

    # No piece crosses these bounds, so merging word by word equals merging the whole text.
    WORD = re.compile(r"▁?[A-Za-z]+|▁?'[a-z]+|▁?[^A-Za-z▁]|▁")

    def __init__(self, pieces: list[str]):
        self.pieces = pieces
        self.ids = {piece: FIRST_PIECE + rank for rank, piece in enumerate(pieces)}
        self.cache: dict[str, list[int]] = {}

    @classmethod
    def words(cls, text: str) -> list[str]:
        return cls.WORD.findall("▁" + text.replace(" ", "▁"))

    @classmethod
    def train(cls, texts: list[str], vocab_size: int, for_common_words: int) -> "Tokenizer":
        singles = ["▁"] + [chr(code) for code in range(ord("!"), ord("~") + 1)]
        merges = vocab_size - FIRST_PIECE - len(singles)
        counts = Counter()
        for text in texts:
            counts.update(cls.words(text))
        merged = cls.learn(counts, [], merges - for_common_words)
        common = Counter("▁" + word for word in COMMON_WORDS.split())
        merged = cls.learn(common, merged, merges)
        # Merged pieces come first: the earlier, the higher the score.
        return cls(merged + singles)

    @classmethod
    def learn(cls, counts: Counter, merged: list[str], total: int) -> list[str]:
        """Adds the most frequent adjacent pair until there are `total` merged pieces."""
        start = cls(list(merged))
        split = {word: start.merge(word) for word in counts if "\n" not in word}
        merged = list(merged)
        while len(merged) < total:
            pairs = Counter()
            for word, symbols in split.items():
                for pair in zip(symbols, symbols[1:]):
                    pairs[pair] += counts[word]
            if not pairs:
                raise SystemExit(f"only {len(merged)} of {total} merges: the text is too small")
            left, right = max(pairs, key=lambda pair: (pairs[pair], pair))
            # Two pairs can join to one piece; it is listed once.
            if left + right not in merged:
                merged.append(left + right)
            for word, symbols in split.items():
                if left in symbols:
                    split[word] = cls.join(symbols, left, right)
        return merged

    @staticmethod
    def join(symbols: list[str], left: str, right: str) -> list[str]:
        out: list[str] = []
        at = 0
        while at < len(symbols):
            both = symbols[at] == left and at + 1 < len(symbols) and symbols[at + 1] == right
            out.append(left + right if both else symbols[at])
            at += 2 if both else 1
        return out

    def merge(self, word: str) -> list[str]:
        """The symbols left when no adjacent pair is a piece; the leftmost of equals goes first."""
        symbols = list(word)
        while True:
            pairs = [
                (self.ids[a + b], at)
                for at, (a, b) in enumerate(zip(symbols, symbols[1:]))
                if a + b in self.ids
            ]
            if not pairs:
                return symbols
            _, at = min(pairs)
            symbols[at : at + 2] = ["".join(symbols[at : at + 2])]

    def encode(self, text: str) -> list[int]:
        ids = []
        for word in self.words(text):
            if word not in self.cache:
                symbols = self.merge(word)
                self.cache[word] = [id for symbol in symbols for id in self.ids_of(symbol)]
            ids += self.cache[word]
        return ids

    def ids_of(self, symbol: str) -> list[int]:
        if symbol in self.ids:
            return [self.ids[symbol]]
        return [FIRST_BYTE + byte for byte in symbol.encode()]

    def decode(self, ids: list[int]) -> str:
        text = b""  # Controls have no text.
        for id in ids:
            if id >= FIRST_PIECE:
                text += self.pieces[id - FIRST_PIECE].replace("▁", " ").encode()
            elif id >= FIRST_BYTE:
                text += bytes([id - FIRST_BYTE])
        return text.decode(errors="replace").removeprefix(" ")

    def __len__(self) -> int:
        return FIRST_PIECE + len(self.pieces)


# -------------------------------------------------------------------------------------- model
@dataclass
class Config:
    vocab_size: int
    embedding_length: int = 192
    block_count: int = 4
    feed_forward_length: int = 384
    head_count: int = 6
    head_count_kv: int = 2
    head_dim: int = 32
    context_length: int = 512
    rms_epsilon: float = 1e-5
    rope_base: float = 10000.0


def rope_angles(config: Config, positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """cos and sin, [positions, head_dim / 2]."""
    half = torch.arange(0, config.head_dim, 2, dtype=torch.float32)
    angles = positions[:, None].float() * config.rope_base ** (-half / config.head_dim)
    return angles.cos(), angles.sin()


def rope(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Rotates the pairs (x0, x1), (x2, x3), ... of [batch, heads, positions, head_dim]."""
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1).flatten(-2)


class Block(nn.Module):
    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        width, kv = config.embedding_length, config.head_count_kv * config.head_dim
        self.attn_norm = nn.RMSNorm(width, eps=config.rms_epsilon)
        self.attn_q = nn.Linear(width, config.head_count * config.head_dim, bias=False)
        self.attn_k = nn.Linear(width, kv, bias=False)
        self.attn_v = nn.Linear(width, kv, bias=False)
        self.attn_output = nn.Linear(config.head_count * config.head_dim, width, bias=False)
        self.ffn_norm = nn.RMSNorm(width, eps=config.rms_epsilon)
        self.ffn_gate = nn.Linear(width, config.feed_forward_length, bias=False)
        self.ffn_up = nn.Linear(width, config.feed_forward_length, bias=False)
        self.ffn_down = nn.Linear(config.feed_forward_length, width, bias=False)

    def forward(self, x, cos, sin, cache: list | None):
        config = self.config
        batch, length, _ = x.shape

        def heads(y: torch.Tensor) -> torch.Tensor:
            return y.view(batch, length, -1, config.head_dim).transpose(1, 2)

        normed = self.attn_norm(x)
        q = rope(heads(self.attn_q(normed)), cos, sin)
        k = rope(heads(self.attn_k(normed)), cos, sin)
        v = heads(self.attn_v(normed))
        if cache is not None:
            if cache:
                k, v = torch.cat((cache[0], k), 2), torch.cat((cache[1], v), 2)
            cache[:] = [k, v]
        group = config.head_count // config.head_count_kv
        k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
        # A single new token sees the whole cache; a prompt from the start is causal.
        a = F.scaled_dot_product_attention(q, k, v, is_causal=length > 1)
        x = x + self.attn_output(a.transpose(1, 2).reshape(batch, length, -1))
        normed = self.ffn_norm(x)
        return x + self.ffn_down(F.silu(self.ffn_gate(normed)) * self.ffn_up(normed))


class Llama(nn.Module):
    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        self.token_embd = nn.Embedding(config.vocab_size, config.embedding_length)
        self.blk = nn.ModuleList(Block(config) for _ in range(config.block_count))
        self.output_norm = nn.RMSNorm(config.embedding_length, eps=config.rms_epsilon)
        for name, weight in self.named_parameters():
            if weight.dim() == 2:
                deep = name.endswith(("attn_output.weight", "ffn_down.weight"))
                scale = 0.02 / math.sqrt(2 * config.block_count) if deep else 0.02
                nn.init.normal_(weight, std=scale)

    def forward(self, tokens: torch.Tensor, caches: list[list] | None = None, start: int = 0):
        """Logits [batch, length, vocab] of tokens [batch, length] at positions from `start`."""
        positions = torch.arange(start, start + tokens.shape[1])
        cos, sin = rope_angles(self.config, positions)
        x = self.token_embd(tokens)
        for layer, block in enumerate(self.blk):
            x = block(x, cos, sin, caches[layer] if caches else None)
        return F.linear(self.output_norm(x), self.token_embd.weight)


# ----------------------------------------------------------------------------------- training
def batches(stories: list[list[int]], size: int, seed: int):
    """Whole stories, each from BOS to EOS, with others of about its length; forever."""
    order = np.random.default_rng(seed)
    while True:
        shuffled = order.permutation(len(stories))
        for at in range(0, len(shuffled), size * 64):
            pool = sorted(shuffled[at : at + size * 64], key=lambda index: len(stories[index]))
            groups = [pool[i : i + size] for i in range(0, len(pool), size)]
            order.shuffle(groups)
            for group in groups:
                longest = max(len(stories[index]) for index in group) + 2
                batch = np.full((len(group), longest), -1)
                for row, index in zip(batch, group):
                    row[: len(stories[index]) + 2] = [BOS, *stories[index], EOS]
                yield torch.from_numpy(batch)


def loss_of(model: Llama, batch: torch.Tensor) -> torch.Tensor:
    logits = model(batch[:, :-1].clamp(min=0))
    return F.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten(), ignore_index=-1)


def train(model: Llama, tokenizer: Tokenizer, stories, held_out, args) -> None:
    """AdamW, a short warmup, then a cosine that reaches its end when the time is up."""
    matrices = [w for w in model.parameters() if w.dim() == 2]
    norms = [w for w in model.parameters() if w.dim() == 1]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": norms, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=args.rate, betas=(0.9, 0.98), eps=1e-8)
    source = batches(stories, args.batch, args.seed)
    held_batch = next(batches(held_out, len(held_out), 0))
    start, seen, losses = time.monotonic(), 0, []
    step, warmup = 0, 50
    while True:
        spent = (time.monotonic() - start) / (60 * args.minutes)
        if spent >= 1:
            break
        rate = min(1, (step + 1) / warmup) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * spent)))
        for group in optimizer.param_groups:
            group["lr"] = args.rate * rate
        batch = next(source)
        loss = loss_of(model, batch)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step, seen = step + 1, seen + int((batch >= 0).sum())
        losses.append(loss.item())
        if step % 100 == 0:
            with torch.no_grad():
                held = loss_of(model, held_batch).item()
            rate_seen = seen / (time.monotonic() - start)
            print(
                f"step {step} tokens {seen} {rate_seen:.0f}/s loss {np.mean(losses[-100:]):.4f} "
                f"held out {held:.4f} done {spent:.1%}",
                flush=True,
            )
        if step % 500 == 0:
            save(model, tokenizer, args.work / "checkpoint.pt")
    save(model, tokenizer, args.work / "checkpoint.pt")


def save(model: Llama, tokenizer: Tokenizer, path: Path):
    parts = {"config": asdict(model.config), "pieces": tokenizer.pieces}
    torch.save(parts | {"weights": model.state_dict()}, path)


def resume(path: Path) -> tuple[Llama, Tokenizer]:
    parts = torch.load(path)
    model = Llama(Config(**parts["config"]))
    model.load_state_dict(parts["weights"])
    return model, Tokenizer(parts["pieces"])


# ------------------------------------------------------------------------------------- export
def tensors(model: Llama):
    """Name, values and type of every tensor of the file: matrices Q8_0, norms F32."""
    for name, weight in model.state_dict().items():
        kind = GGMLQuantizationType.Q8_0 if weight.dim() == 2 else GGMLQuantizationType.F32
        yield name, weight.numpy(), kind


def export(model: Llama, tokenizer: Tokenizer, path: Path):
    config = model.config
    out = gguf.GGUFWriter(path, "llama")
    out.add_name("Firstlight Stories")
    out.add_author("The Firstlight authors")
    out.add_license("MIT OR Apache-2.0")
    out.add_description(
        "A small Llama that tells short children's stories, trained on text from the story "
        "grammar of the Firstlight tests. Made for trying out the engine."
    )
    out.add_languages(["en"])
    out.add_size_label(f"{sum(w.numel() for w in model.parameters()) / 1e6:.1f}M")
    out.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    out.add_quantization_version(gguf.GGML_QUANT_VERSION)
    out.add_vocab_size(config.vocab_size)
    out.add_context_length(config.context_length)
    out.add_embedding_length(config.embedding_length)
    out.add_block_count(config.block_count)
    out.add_feed_forward_length(config.feed_forward_length)
    out.add_head_count(config.head_count)
    out.add_head_count_kv(config.head_count_kv)
    out.add_key_length(config.head_dim)
    out.add_value_length(config.head_dim)
    out.add_layer_norm_rms_eps(config.rms_epsilon)
    out.add_rope_dimension_count(config.head_dim)
    out.add_rope_freq_base(config.rope_base)

    controls = ["<unk>", "<s>", "</s>"]
    bytes_ = [f"<0x{byte:02X}>" for byte in range(256)]
    out.add_tokenizer_model("llama")
    out.add_token_list(controls + bytes_ + tokenizer.pieces)
    scores = [-float(rank) for rank in range(len(tokenizer.pieces))]
    out.add_token_scores([0.0] * FIRST_PIECE + scores)
    out.add_token_types(
        [TokenType.UNKNOWN, TokenType.CONTROL, TokenType.CONTROL]
        + [TokenType.BYTE] * 256
        + [TokenType.NORMAL] * len(tokenizer.pieces)
    )
    out.add_unk_token_id(UNK)
    out.add_bos_token_id(BOS)
    out.add_eos_token_id(EOS)
    out.add_add_bos_token(True)
    out.add_add_eos_token(False)
    out.add_add_space_prefix(True)

    for name, values, kind in tensors(model):
        out.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


# ------------------------------------------------------------------------------------ judging
@torch.no_grad()
def sample(model: Llama, tokenizer: Tokenizer, prompt: str, count: int, temperature, seed: int):
    """`count` continuations of a prompt, up to EOS or a full context."""
    random = torch.Generator().manual_seed(seed)
    ids = [BOS, *tokenizer.encode(prompt)]
    rows = torch.tensor([ids] * count)
    caches: list[list] = [[] for _ in model.blk]
    logits = model(rows, caches)[:, -1]
    ended = torch.zeros(count, dtype=torch.bool)
    while rows.shape[1] < model.config.context_length and not ended.all():
        chosen = torch.multinomial(F.softmax(logits / temperature, -1), 1, generator=random)
        chosen[ended] = EOS
        ended |= chosen[:, 0] == EOS
        rows = torch.cat((rows, chosen), 1)
        logits = model(chosen, caches, rows.shape[1] - 1)[:, -1]
    return [tokenizer.decode([id for id in row if id != EOS]) for row in rows.tolist()]


def judge(model: Llama, tokenizer: Tokenizer, args):
    """Samples with the weights as the file has them, and lets the grammar judge."""
    rounded = Llama(model.config)
    for (name, values, kind), weight in zip(tensors(model), rounded.state_dict().values()):
        assert values.shape == tuple(weight.shape), name
        stored = gguf.quants.dequantize(gguf.quants.quantize(values, kind), kind)
        weight.copy_(torch.from_numpy(stored.reshape(values.shape)))
    for prompt in ["Once upon a time", "One day,", ""]:
        for temperature in [0.7, 1.0]:
            told = sample(rounded, tokenizer, prompt, args.samples, temperature, seed=1)
            path = args.work / "sampled.txt"
            path.write_text(SEPARATOR.join(told) + "\n")
            verdict = subprocess.run(
                [args.storygen, "--check", path], capture_output=True, text=True
            ).stdout.splitlines()
            print(f"temperature {temperature}, prompt {prompt!r}: {verdict[-1]}")
            for complaint in verdict[:-1][: args.complaints]:
                print("   ", complaint)
    print(told[0])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--storygen", required=True, help="the built storygen binary")
    parser.add_argument("--work", type=Path, required=True, help="folder for checkpoints")
    parser.add_argument("--out", type=Path, default=HERE / "firstlight-stories.gguf")
    parser.add_argument("--minutes", type=float, default=60, help="time to train")
    parser.add_argument("--stories", type=int, default=100_000)
    parser.add_argument("--vocab", type=int, default=1280)
    parser.add_argument("--batch", type=int, default=16, help="stories per step")
    parser.add_argument("--rate", type=float, default=3e-3, help="highest learning rate")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--samples", type=int, default=100)
    parser.add_argument("--complaints", type=int, default=10, help="how many to print")
    parser.add_argument("--resume", action="store_true", help="start from the checkpoint")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)

    text = subprocess.run(
        [args.storygen, "--count", str(args.stories + HELD_OUT), "--seed", "1000000"],
        capture_output=True, text=True, check=True,
    ).stdout
    texts = text.removesuffix(SEPARATOR).split(SEPARATOR)
    if args.resume:
        model, tokenizer = resume(args.work / "checkpoint.pt")
    else:
        tokenizer = Tokenizer.train(texts[:8000], args.vocab, for_common_words=80)
        model = Llama(Config(vocab_size=len(tokenizer)))
    encoded = [tokenizer.encode(text) for text in texts]
    assert tokenizer.decode(encoded[0]) == texts[0]
    stories, held_out = encoded[HELD_OUT:], encoded[:HELD_OUT]
    print(f"{len(stories)} stories, {np.mean([len(story) for story in stories]):.1f} tokens each, "
          f"longest {max(len(story) for story in stories)}")

    print(f"{sum(weight.numel() for weight in model.parameters())} parameters")
    train(model, tokenizer, stories, held_out, args)
    export(model, tokenizer, args.out)
    print(f"{args.out}: {args.out.stat().st_size} bytes")
    judge(model, tokenizer, args)


if __name__ == "__main__":
    main()
