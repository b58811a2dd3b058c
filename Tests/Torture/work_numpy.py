# numpy and scipy with their libraries: BLAS, LAPACK, FFT, sparse matrices, special functions.
import numpy as np
import scipy.fft
import scipy.linalg
import scipy.sparse
import scipy.sparse.linalg
import scipy.special

random = np.random.default_rng(7)
matrix = random.standard_normal((120, 120))
product = matrix @ matrix.T + 120 * np.eye(120)
print(round(float(np.linalg.slogdet(product)[1]), 6))
factor = scipy.linalg.cholesky(product)
print(np.allclose(factor.T @ factor, product))
print(np.allclose(np.sort(np.linalg.eigvalsh(product)), np.sort(scipy.linalg.eigh(product)[0])))
vector = random.standard_normal(4096)
print(np.allclose(scipy.fft.ifft(scipy.fft.fft(vector)).real, vector))
sparse = scipy.sparse.diags([-1, 4, -1], [-1, 0, 1], shape=(500, 500), format="csc")
print(np.allclose(sparse @ scipy.sparse.linalg.spsolve(sparse, np.ones(500)), np.ones(500)))
print(round(float(scipy.special.gamma(4.5)), 9), round(float(np.sin(vector).sum()), 6))
try:
    scipy.linalg.cholesky(-product)
except scipy.linalg.LinAlgError as error:
    print("refused:", "positive definite" in str(error))
