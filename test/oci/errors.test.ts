import { describe, expect, it } from 'vitest';
import { errorBody, OciError, type OciErrorCode, ociErrors } from '../../src/oci/errors.ts';

const table: readonly (readonly [OciErrorCode, number])[] = [
  ['BLOB_UNKNOWN', 404],
  ['BLOB_UPLOAD_INVALID', 404],
  ['BLOB_UPLOAD_UNKNOWN', 404],
  ['DIGEST_INVALID', 400],
  ['MANIFEST_BLOB_UNKNOWN', 400],
  ['MANIFEST_INVALID', 400],
  ['MANIFEST_UNKNOWN', 404],
  ['MANIFEST_UNVERIFIED', 400],
  ['NAME_INVALID', 400],
  ['NAME_UNKNOWN', 404],
  ['PAGINATION_NUMBER_INVALID', 400],
  ['RANGE_INVALID', 416],
  ['SIZE_INVALID', 400],
  ['TAG_INVALID', 400],
  ['UNAUTHORIZED', 401],
  ['DENIED', 403],
  ['UNSUPPORTED', 405],
  ['TOOMANYREQUESTS', 429],
  ['UNAVAILABLE', 503],
  ['UNKNOWN', 500],
];

describe('errors', () => {
  it.each(table)('%s is answered with %d and a readable body', (code, status) => {
    const error = new OciError(code);
    expect(error.status).toBe(status);
    expect(error.headers).toEqual({});
    expect(code).toMatch(/^[A-Z_]+$/);
    expect(JSON.parse(error.body())).toEqual({ errors: [{ code, message: ociErrors[code].message }] });
    expect(ociErrors[code].message).not.toBe('');
  });

  it('has no row that this test does not know', () => {
    expect(Object.keys(ociErrors).toSorted()).toEqual(table.map(([code]) => code).toSorted());
  });

  it('carries message, detail, status, headers and cause of the single case', () => {
    const cause = new Error('connect ECONNREFUSED');
    const error = new OciError('UNKNOWN', {
      message: 'ghcr.io refused the connection',
      detail: { upstream: 'ghcr.io' },
      status: 502,
      headers: { 'retry-after': '5' },
      cause,
    });
    expect(error).toMatchObject({
      name: 'OciError',
      code: 'UNKNOWN',
      status: 502,
      headers: { 'retry-after': '5' },
      cause,
    });
    expect(JSON.parse(error.body())).toEqual({
      errors: [{ code: 'UNKNOWN', message: 'ghcr.io refused the connection', detail: { upstream: 'ghcr.io' } }],
    });
    expect('cause' in new OciError('DENIED')).toBe(false);
  });

  it('writes the default message when none is given', () => {
    expect(errorBody('NAME_UNKNOWN')).toBe(
      '{"errors":[{"code":"NAME_UNKNOWN","message":"repository name not known to registry"}]}',
    );
  });
});
