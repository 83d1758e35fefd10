"""Objects in an S3 bucket, through the MinIO client."""

import io
from datetime import datetime
from urllib.parse import urlsplit

import urllib3
from minio import Minio
from minio.datatypes import Object
from minio.error import InvalidResponseError, S3Error, ServerError

from shipway.contract.errors import Permanent, Transient
from shipway.runtime.objects import ObjectMissing, check_key
from shipway.runtime.settings import ObjectsSettings
from shipway.runtime.tls import tls_context

_S3_ERRORS = (S3Error, ServerError, InvalidResponseError, urllib3.exceptions.HTTPError, OSError)


class S3Store:
    """Objects in a bucket, through the MinIO client. The bucket is made at the first probe if it can be."""

    def __init__(self, settings: ObjectsSettings, bucket: str) -> None:
        endpoint = urlsplit(settings.endpoint)
        if endpoint.scheme not in ("http", "https") or not endpoint.netloc:
            raise Permanent(f"OBJECTS__ENDPOINT: {settings.endpoint!r} must be http://host:port or https://host")
        self._bucket = bucket
        self._where = f"object store {settings.endpoint}/{bucket}"
        self._client = client = Minio(
            endpoint.netloc,
            access_key=settings.access_key,
            secret_key=settings.secret_key.get_secret_value(),
            region=settings.region,
            secure=endpoint.scheme == "https",
            http_client=urllib3.PoolManager(
                timeout=urllib3.Timeout(connect=settings.timeout_s, read=settings.timeout_s),
                maxsize=10,
                ssl_context=tls_context("OBJECTS", ca_file=settings.ca_file),
                retries=urllib3.Retry(total=1, backoff_factor=0.2, status_forcelist=[500, 502, 503, 504]),
            ),
        )
        if settings.style == "virtual-host":
            client.enable_virtual_style_endpoint()  # type: ignore[no-untyped-call]
        elif settings.style == "path":
            client.disable_virtual_style_endpoint()  # type: ignore[no-untyped-call]

    def put(self, key: str, data: bytes) -> None:
        """See ObjectStore."""
        try:
            self._client.put_object(self._bucket, check_key(key), io.BytesIO(data), len(data))
        except _S3_ERRORS as err:
            raise self._sorted(err, key) from err

    def get(self, key: str, max_bytes: int) -> bytes:
        """See ObjectStore."""
        response = None
        try:
            response = self._client.get_object(self._bucket, check_key(key))
            data = response.read(max_bytes + 1)
            length = response.headers.get("Content-Length")
            if length is not None and int(length) != len(data) <= max_bytes:
                raise Transient(f"{self._where}: {key} ended after {len(data)} of {length} bytes")
        except _S3_ERRORS as err:
            raise self._sorted(err, key) from err
        finally:
            if response is not None:
                response.close()
                response.release_conn()
        if len(data) > max_bytes:
            raise Permanent(f"object {key} is larger than {max_bytes} bytes")
        return bytes(data)

    def size(self, key: str) -> int | None:
        """See ObjectStore."""
        found = self._stat(key)
        return None if found is None else found.size

    def mark(self, key: str) -> str | None:
        """See ObjectStore: the ETag, and when it was written."""
        found = self._stat(key)
        return None if found is None else f"{found.etag} {found.last_modified}"

    def written_at(self, key: str) -> datetime | None:
        """See ObjectStore."""
        found = self._stat(key)
        return None if found is None else found.last_modified

    def list(self, prefix: str) -> list[str]:
        """See ObjectStore."""
        try:
            found = self._client.list_objects(self._bucket, prefix=prefix, recursive=True)
            return sorted(o.object_name for o in found if o.object_name is not None)
        except _S3_ERRORS as err:
            raise self._sorted(err, prefix) from err

    def delete(self, key: str) -> None:
        """See ObjectStore."""
        try:
            self._client.remove_object(self._bucket, check_key(key))
        except _S3_ERRORS as err:
            raise self._sorted(err, key) from err

    def probe(self) -> None:
        """See ObjectStore."""
        try:
            if not self._client.bucket_exists(self._bucket):
                self._client.make_bucket(self._bucket)
        except _S3_ERRORS as err:
            raise self._sorted(err, "") from err

    def _stat(self, key: str) -> Object | None:
        try:
            return self._client.stat_object(self._bucket, check_key(key))
        except _S3_ERRORS as err:
            sorted_error = self._sorted(err, key)
            if isinstance(sorted_error, ObjectMissing):
                return None
            raise sorted_error from err

    def _sorted(self, err: Exception, key: str) -> Permanent | Transient:
        if isinstance(err, S3Error):
            if err.code in ("NoSuchKey", "NoSuchObject"):
                return ObjectMissing(f"object {key} is missing")
            # Wrong credentials too: an operator can mend them, so work waits rather than being thrown away.
            return Transient(f"{self._where}: {err.code}: {err.message}")
        return Transient(f"{self._where}: {err}")
