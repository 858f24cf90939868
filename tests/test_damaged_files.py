"""Files that are torn, bent, of another kind or too large: refused by name, before memory runs out."""

import bz2
import gzip
import os
import random
import subprocess
import sys
import textwrap

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from network_files import MTX, SAME_NETWORK, complaint_about, sparse, write, zipped

from cmapjax.arguments._checks import memory_of_process
from cmapjax.graphs._file_options import FileOptions
from cmapjax.graphs._read import read_market

LINKS = "0\t1\n1\t2\n2\t0\n2\t3\n"


def test_truncated_and_damaged_gzip_files_are_refused(tmp_path):
    packed = bytearray(gzip.compress(LINKS.encode() * 100))
    path = tmp_path / "a.txt.gz"
    for cut in (5, 12, -9, -1):
        path.write_bytes(packed[:cut])
        assert "a.txt.gz: the gzip file ends too early" in complaint_about(path)
    packed[-6] ^= 1  # in the checksum
    path.write_bytes(packed)
    assert "cannot be read (CRC" in complaint_about(path)


def test_an_encrypted_zip_file_is_refused(tmp_path):
    data = bytearray(zipped(["a.txt"]))
    directory = data.rindex(b"PK\x01\x02")
    data[6] |= 1
    data[directory + 8] |= 1
    assert "is encrypted; unpack it first" in complaint_about(write(tmp_path, "a.zip", bytes(data)))


def test_only_regular_files_are_opened(tmp_path):
    assert "no such file; check the name" in complaint_about(tmp_path / "absent.txt")
    assert "is a folder" in complaint_about(tmp_path)
    os.mkfifo(tmp_path / "pipe.txt")
    assert "pipe or device" in complaint_about(tmp_path / "pipe.txt")
    (tmp_path / "zero.txt").symlink_to("/dev/zero")
    assert "pipe or device" in complaint_about(tmp_path / "zero.txt")
    assert "cannot be opened" in complaint_about("a\0b.txt")
    assert "cannot be opened" in complaint_about("a" * 5000 + ".txt")
    assert "path is a int" in complaint_about(0)


def test_a_budget_is_a_positive_number_of_bytes(tmp_path):
    path = write(tmp_path, "a.txt", LINKS)
    for budget in (0, -1, 1.5, True, "1GB"):
        assert "memory_budget" in complaint_about(path, memory_budget=budget)
    # By default a third of the memory, but at most what two gigabytes of names take.
    assert 1 << 20 < FileOptions().budget <= min(32 << 30, memory_of_process() / 3)


def test_indices_that_lie_are_refused_before_scipy_follows_them(tmp_path):
    ends = {"shape": np.array([2, 2]), "data": np.ones(2), "indices": np.array([1, 0])}
    for starts in ([0, 10**9, 2], [0, 2, 1], [5, 1, 2]):
        np.savez_compressed(tmp_path / "a.npz", format=np.array("csr"), indptr=np.array(starts), **ends)
        assert "no sparse matrix" in complaint_about(tmp_path / "a.npz")
    coo = {"format": np.array("coo"), "row": np.array([0]), "col": np.array([1])}
    for wrong, words in (
        ({"shape": np.array([2, 2]), "data": np.array([None])}, "no sparse matrix"),  # would be unpickled
        ({"shape": np.array([2, 2]), "data": [1], "col": np.array([7])}, "no sparse matrix"),
        ({"shape": np.array([10**12] * 2), "data": [1]}, "budget"),
    ):
        np.savez_compressed(tmp_path / "a.npz", **coo | wrong)
        assert words in complaint_about(tmp_path / "a.npz")


DAMAGES = [
    b"",
    b"\x00",
    b"\xff",
    b'"',
    b'"' * 3,
    b"<",
    b"[",
    b"]",
    b"-",
    b"nan",
    b"1e999",
    b"9" * 30,
    b"\n",
    b"&",
]
WHOLE_FILES = {name: SAME_NETWORK[name].encode() for name in (
    "links.txt", "links.csv", "quoted.csv", "links.graphml", "links.gml", "a.gexf", "links.json", "edges.net",
    "lists.net", "matrix.net", "both.adj", "matrix.csv",
)} | {
    "a.mtx": f"{MTX} real symmetric\n4 4 4\n2 1 1.5\n3 2 1\n3 1 1\n4 3 1e3\n".encode(),
    "out.x": b"% bip positive\n% 3 2 2\n1 1 4\n1 2 5\n2 1 6\n",
    "a.npz": sparse(),
    "a.txt.gz": gzip.compress(LINKS.encode() * 20),
    "a.txt.bz2": bz2.compress(LINKS.encode()),
    "a.txt.zip": zipped(["a.txt"]),
    "agents.csv": b"agent,value\n0,1\n1,2\n2,3\n3,4\n",
    "agents.parquet": None,
}  # fmt: skip


@pytest.mark.parametrize("name", WHOLE_FILES)
def test_a_damaged_file_is_read_or_refused_by_name_and_nothing_else(tmp_path, name):
    links, path, rng = write(tmp_path, "links-0.txt", LINKS), tmp_path / name, random.Random(name)
    whole = WHOLE_FILES[name]
    if whole is None:
        pq.write_table(pa.table({"agent": [0, 1, 2, 3], "value": [1.0, 2, 3, 4]}), path)
        whole = path.read_bytes()
    complaints = []
    for _ in range(120):
        start = rng.randrange(len(whole))
        damage = rng.choice([*DAMAGES, rng.randbytes(2)])
        path.write_bytes(whole[:start] + damage + whole[start + rng.randrange(1, 20) :])
        try:
            if name.startswith("agents"):
                read_market(links, agents=path)
            else:
                read_market(path)
        except ValueError as error:
            complaints.append(str(error))
    assert complaints
    assert all(name in text and len(text) <= 500 and "\n" not in text for text in complaints)


BOMBS = {
    "bomb.txt.gz": "gzip.compress(bytes(2**24)) * 200",  # members one after another: 3.4 GB of zeros
    "bomb.txt.bz2": "bz2.compress(bytes(2**22)) * 800",
    "bomb.txt.xz": "lzma.compress(bytes(2**22)) * 800",
    "bomb.zip": "packed(('a.txt', bytes(2**22), 20))",
    "bomb.npz": "npz",
    "size.mtx": f"b'{MTX} pattern symmetric\\n9999999999 9999999999 1\\n2 1\\n'",
    "entries.mtx": f"b'{MTX} pattern symmetric\\n3 3 999999999999\\n2 1\\n'",
    "deep.json": "b'[' * 2**20",
    "deep.gexf": "b'<gexf>' + b'<a>' * 2**18",
    "wide.json": "b'{\"nodes\": [' + b'[],' * 2**21 + b'[]]}'",
}


def test_bombs_are_refused_within_a_gigabyte_of_address_space_beyond_the_imports(tmp_path):
    program = textwrap.dedent(f"""
        import bz2, gzip, io, lzma, os, re, resource, sys, zipfile
        import numpy as np
        from cmapjax.graphs._read import read_market
        def packed(*parts):
            content = io.BytesIO()
            with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
                for member, data, times in parts:
                    with archive.open(member, "w") as stream:
                        for _ in range(times):
                            stream.write(data)
            return content.getvalue()
        def array(values):
            content = io.BytesIO()
            np.save(content, values)
            return content.getvalue()
        large = array(np.zeros(1, np.int8)).replace(b"(1,), }}       ", b"(1000000000,), }}")[:-1]
        small = {{"format.npy": array(np.array("coo")), "shape.npy": array(np.array([2, 2]))}}
        bombs = dict.fromkeys(["row.npy", "col.npy", "data.npy"], large + bytes(2**22))
        npz = packed(*((name, data, 1) for name, data in (small | bombs).items()))
        held = int(re.search(r"VmSize:\\s*(\\d+)", open("/proc/self/status").read())[1]) * 1024
        resource.setrlimit(resource.RLIMIT_AS, (held + 2**30,) * 2)
        for name, data in {{ {", ".join(f"{name!r}: {data}" for name, data in BOMBS.items())} }}.items():
            path = os.path.join(sys.argv[1], name)
            with open(path, "wb") as file:
                file.write(data)
            try:
                read_market(path, memory_budget=2**28)
            except ValueError as error:
                words = ("budget", "deeply", "well-formed", "not an object", "reading array data")
                print(name, any(word in str(error) for word in words), error)
        # Not ru_maxrss, which a process inherits from the one that started it.
        peak = int(re.search(r"VmHWM:\\s*(\\d+)", open("/proc/self/status").read())[1])
        print(peak < 1.2e6, peak)
    """)
    run = subprocess.run(
        [sys.executable, "-c", program, tmp_path], capture_output=True, text=True, timeout=300, check=False
    )
    found = [line.split()[:2] for line in run.stdout.splitlines()]
    assert found[:-1] == [[name, "True"] for name in BOMBS], run.stdout + run.stderr
    assert found[-1][0] == "True", run.stdout
